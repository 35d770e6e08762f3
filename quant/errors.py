"""What can go wrong with a model, for everyone above to catch."""


class ModelError(Exception):
    """A model that cannot be built, loaded or evaluated; `str()` is one sentence that says what to do."""


class ContextFullError(ModelError):
    """The context has no room for the tokens to be evaluated."""


class CancelledError(Exception):
    """The caller's `cancelled` said yes between two chunks; the tokens evaluated so far stay."""
