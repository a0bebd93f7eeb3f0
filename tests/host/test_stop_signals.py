"""What a program had made of its signals, and gets back."""

from __future__ import annotations

import os
import select
import signal
import socket

from actors.host.stop_signals import CAUGHT, Signals


def test_signals_are_read_and_then_do_again_what_they_did() -> None:
    mine, other = socket.socketpair()
    mine.setblocking(False)  # noqa: FBT003
    before = signal.set_wakeup_fd(mine.fileno())
    heard: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    kept = [signal.getsignal(each) for each in CAUGHT]
    try:
        signals = Signals()
        os.kill(os.getpid(), signal.SIGINT)
        ready, _, _ = select.select([signals.fd], [], [], 30.0)
        read = signals.read()
        signals.give_back()

        assert ready == [signals.fd]
        assert (read, heard) == ({signal.SIGINT}, [])
        assert [signal.getsignal(each) for each in CAUGHT] == kept
        os.kill(os.getpid(), signal.SIGINT)
        assert other.recv(8) == bytes([signal.SIGINT])
        assert heard == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, handler)
        assert signal.set_wakeup_fd(before) == mine.fileno()
        mine.close()
        other.close()
