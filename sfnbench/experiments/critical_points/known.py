"""When a loss is that of a known critical point."""

KNOWN_LOSS = 1e-6  # relative distance within which it is


def is_known_loss(loss: float, known: float) -> bool:
    """Whether a loss and a known one differ by rounding alone."""
    return abs(loss - known) <= KNOWN_LOSS * (1 + abs(known))
