"""What a rule raises. A peer's mistake is answered with ``Cancel``, never raised."""


class FlowError(Exception):
    """The rules were used against their contract."""


class UnknownSubscriptionError(FlowError):
    """The subscription is not open."""


class DuplicateSubscriptionError(FlowError):
    """The subscription is open already."""
