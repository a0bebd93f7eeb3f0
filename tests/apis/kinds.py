"""APIs as there are: what they ask of a poller, each with the traps it has."""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode
from itertools import count
from time import monotonic, time
from typing import Any
from urllib.parse import urlencode

from tests.apis.base import Api, Asked, Said


class GitHub(Api):
    """Events: newest first, pages by Link, ETag, X-Poll-Interval, 403 at the limit."""

    interval_s: int | None = None
    largest = 300

    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []
        self._ids = count(41_728_562_833)

    def add(self, number: int = 1) -> None:
        for _ in range(number):
            event = {"id": str(next(self._ids)), "type": "PushEvent", "public": True}
            self.events.insert(0, event)

    def answer(self, asked: Asked) -> Said:
        shown = self.events[: self.largest]
        tag = '"' + hashlib.sha256(repr(shown).encode()).hexdigest()[:12] + '"'
        headers = {"ETag": tag}
        if self.interval_s is not None:
            headers["X-Poll-Interval"] = str(self.interval_s)
        if asked.headers.get("if-none-match") == tag:
            return Said(None, 304, headers)
        page = int(asked.query.get("page", 1))
        size = int(asked.query.get("per_page", 30))
        if page * size < len(shown):
            query = urlencode({"per_page": size, "page": page + 1})
            headers["Link"] = (
                f'<{self.url}{asked.path}?{query}>; rel="next", '
                f'<{self.url}{asked.path}?page=9>; rel="last"'
            )
        return Said(shown[(page - 1) * size : page * size], 200, headers)

    def told(self, left: int | None, reset_s: float) -> dict[str, str]:
        if left is None:
            return {}
        reset = int(time() + reset_s) + 1
        return {"X-RateLimit-Remaining": str(left), "X-RateLimit-Reset": str(reset)}

    def limited(self, reset_s: float) -> Said:
        return Said({"message": "API rate limit exceeded"}, 403, self.told(0, reset_s))


class Stripe(Api):
    """Events: newest first, `starting_after`, `has_more`."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []
        self._ids = count(1)

    def add(self, number: int = 1) -> None:
        for _ in range(number):
            event = {"id": f"evt_{next(self._ids)}", "object": "event"}
            self.events.insert(0, event)

    def answer(self, asked: Asked) -> Said:
        if asked.headers.get("authorization") != "Bearer sk_test_canary":
            return Said({"error": {"message": "Invalid API Key"}}, 401)
        size = int(asked.query.get("limit", 10))
        after = asked.query.get("starting_after")
        ids = [each["id"] for each in self.events]
        begin = ids.index(after) + 1 if after else 0
        page = self.events[begin : begin + size]
        more = begin + size < len(self.events)
        return Said({"object": "list", "data": page, "has_more": more})


class Slack(Api):
    """History: `oldest`, a token for the next page, and 200 with `ok: false`."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self._ids = count(1)

    def add(self, number: int = 1) -> None:
        for _ in range(number):
            n = next(self._ids)
            self.messages.insert(0, {"ts": f"1512085950.{n:06d}", "text": str(n)})

    def answer(self, asked: Asked) -> Said:
        if self.errors:
            return Said({"ok": False, "error": self.errors.pop(0)})
        oldest = asked.query.get("oldest", "0")
        size = int(asked.query.get("limit", 100))
        new = [each for each in self.messages if float(each["ts"]) > float(oldest)]
        latest = asked.query.get("cursor")
        if latest is not None:
            new = [each for each in new if float(each["ts"]) < float(latest)]
        page, rest = new[:size], new[size:]
        cursor = page[-1]["ts"] if rest else ""
        return Said(
            {
                "ok": True,
                "messages": page,
                "has_more": bool(rest),
                "response_metadata": {"next_cursor": cursor},
            }
        )


class Zendesk(Api):
    """Incremental tickets: a cursor for ever, the same ticket after each change."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[dict[str, Any]] = []
        self.size = 3

    def change(self, ticket: int) -> None:
        at = len(self.changes)
        stamp = f"2026-01-01T{at // 3600:02d}:{at // 60 % 60:02d}:{at % 60:02d}Z"
        self.changes.append({"id": ticket, "updated_at": stamp})

    def answer(self, asked: Asked) -> Said:
        if "start_time" in asked.query:
            begin = 0
        elif "cursor" in asked.query:
            begin = int(asked.query["cursor"].removeprefix("c"))
        else:
            return Said({"error": "StartTimeMissing"}, 400)
        page = self.changes[begin : begin + self.size]
        end = begin + len(page)
        return Said(
            {
                "tickets": page,
                "after_cursor": f"c{end}",
                "end_of_stream": end >= len(self.changes),
            }
        )


class Shopify(Api):
    """Orders: Link pages with opaque tokens, `updated_at_min`, a bucket, 429."""

    #: An overlap is shown again, whatever is new.
    walks = True

    def __init__(self) -> None:
        super().__init__()
        self.orders: dict[int, dict[str, Any]] = {}
        self._clock = count(1)
        self._pages: dict[str, tuple[str, str]] = {}

    def change(self, order: int) -> None:
        n = next(self._clock)
        stamp = f"2026-01-01T{n // 3600:02d}:{n // 60 % 60:02d}:{n % 60:02d}+01:00"
        self.orders[order] = {"id": order, "updated_at": stamp}

    def answer(self, asked: Asked) -> Said:
        if asked.headers.get("x-shopify-access-token") != "shpat_canary":
            return Said({"errors": "[API] Invalid API key"}, 401)
        size = int(asked.query.get("limit", 50))
        orders = sorted(self.orders.values(), key=_by_time)
        if token := asked.query.get("page_info"):
            if set(asked.query) - {"page_info", "limit"}:
                return Said({"errors": "page_info goes with limit only"}, 400)
            if token not in self._pages:
                return Said({"errors": "invalid page_info"}, 400)
            after = self._pages[token]
            orders = [each for each in orders if _by_time(each) > after]
        elif least := asked.query.get("updated_at_min"):
            orders = [each for each in orders if each["updated_at"] >= least]
        page, rest = orders[:size], orders[size:]
        headers = {}
        if rest:
            token = f"t{len(self._pages)}"
            self._pages[token] = _by_time(page[-1])
            query = urlencode({"limit": size, "page_info": token})
            headers["Link"] = f'<{self.url}{asked.path}?{query}>; rel="next"'
        return Said({"orders": page}, 200, headers)

    def told(self, left: int | None, reset_s: float) -> dict[str, str]:
        if left is None or self.budget is None:
            return {}
        used = f"{self.budget - left}/{self.budget}"
        return {"X-Shopify-Shop-Api-Call-Limit": used}


def _by_time(order: dict[str, Any]) -> tuple[str, str]:
    return order["updated_at"], str(order["id"])


class Tickets(Api):
    """A queue: a ticket is shown until it is closed by PATCH."""

    walks = True

    def __init__(self) -> None:
        super().__init__()
        self.tickets: dict[int, dict[str, Any]] = {}
        self.size = 3
        self._ids = count(1)

    def add(self, number: int = 1) -> None:
        for _ in range(number):
            n = next(self._ids)
            self.tickets[n] = {"id": n, "status": "open"}

    def answer(self, asked: Asked) -> Said:
        if asked.method == "PATCH":
            return self._patch(asked)
        page = int(asked.query.get("page", 1))
        shown = list(self.tickets.values())
        begin = (page - 1) * self.size
        end = begin + self.size
        more = f"{asked.path}?page={page + 1}" if end < len(shown) else None
        return Said({"tickets": shown[begin:end], "next": more})

    def _patch(self, asked: Asked) -> Said:
        ticket = self.tickets.get(int(asked.path.rpartition("/")[2]))
        if ticket is None:
            return Said(None, 404)
        ticket["status"] = json.loads(asked.body)["status"]
        return Said(ticket)


class OAuth(Api):
    """A list behind tokens that expire, and refresh tokens that rotate."""

    def __init__(self) -> None:
        super().__init__()
        self.items: list[dict[str, Any]] = []
        self.lasts_s = 3600.0
        self.rotates = False
        self.refresh = "refresh-canary-0"
        #: The one before is good until the next is used: what was answered may be lost.
        self.before_last: str | None = None
        self.grants = 0
        self.refusals: list[tuple[int, dict[str, str]]] = []
        self._good: dict[str, float] = {}
        self._ids = count(1)

    def add(self, number: int = 1) -> None:
        for _ in range(number):
            self.items.append({"id": next(self._ids)})

    def revoke(self) -> None:
        """Let no token be good any more."""
        self._good.clear()

    def answer(self, asked: Asked) -> Said:
        if asked.path == "/token":
            return self._grant(asked)
        token = asked.headers.get("authorization", "").removeprefix("Bearer ")
        if self._good.get(token, 0.0) < monotonic():
            return Said({"error": "invalid_token"}, 401)
        since = int(asked.query.get("since", 0))
        return Said([each for each in self.items if each["id"] > since])

    def _grant(self, asked: Asked) -> Said:
        if self.refusals:
            status, body = self.refusals.pop(0)
            return Said(body, status)
        form = asked.form
        client = form.get("client_id"), form.get("client_secret")
        if basic := asked.headers.get("authorization", "").removeprefix("Basic "):
            pair = b64decode(basic).decode().partition(":")
            client = pair[0], pair[2]
        if client != ("me", "secret-canary"):
            return Said({"error": "invalid_client"}, 401)
        told: dict[str, Any] = {}
        if form["grant_type"] == "refresh_token":
            if form["refresh_token"] == self.refresh:
                self.before_last = self.refresh
            elif form["refresh_token"] != self.before_last:
                return Said({"error": "invalid_grant"}, 400)
            if self.rotates:
                self.refresh = f"refresh-canary-{self.grants + 1}"
                told["refresh_token"] = self.refresh
        self.grants += 1
        token = f"access-canary-{self.grants}"
        self._good[token] = monotonic() + self.lasts_s
        told |= {"access_token": token, "token_type": "Bearer"}
        return Said(told | {"expires_in": self.lasts_s})


class Feed(Api):
    """An Atom feed with an ETag and entry ids."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[tuple[str, str]] = []
        self._ids = count(1)

    def add(self, number: int = 1) -> None:
        for _ in range(number):
            n = next(self._ids)
            entry = f"tag:blog.example,2026:{n}", "2026-01-01T00:00:00Z"
            self.entries.insert(0, entry)

    def change(self, at: int) -> None:
        name, _ = self.entries[at]
        self.entries[at] = name, f"2026-01-02T00:00:{len(self.asked) % 60:02d}Z"

    def answer(self, asked: Asked) -> Said:
        entries = "".join(
            f"<entry><id>{name}</id><title>T</title><updated>{at}</updated></entry>"
            for name, at in self.entries
        )
        body = (
            '<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom">'
            f"<title>Blog</title>{entries}</feed>"
        ).encode()
        tag = hashlib.sha256(body).hexdigest()[:12]
        headers = {"ETag": f'W/"{tag}"', "Content-Type": "application/atom+xml"}
        if asked.headers.get("if-none-match") == headers["ETag"]:
            return Said(None, 304, headers)
        return Said(body, 200, headers)
