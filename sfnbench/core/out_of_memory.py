"""How a lack of memory shows itself."""

# How a want of memory reads where it is but a RuntimeError: from torch's allocator on the CPU, from
# CUDA's libraries.
_NO_MEMORY = (
    "not enough memory",
    "can't allocate memory",
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


def is_want_of_memory(error: BaseException) -> bool:
    """Whether this is what Python, torch's allocators or CUDA's libraries raise where memory runs out."""
    # torch.OutOfMemoryError by its name: it has lived in two modules, and torch may not be what
    # raised.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _NO_MEMORY)
