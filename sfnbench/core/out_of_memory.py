"""How a lack of memory shows itself."""

# Torch's allocator on the CPU and CUDA's libraries raise a mere RuntimeError, with one of these.
_NO_MEMORY = (
    "not enough memory",
    "can't allocate memory",
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, torch's allocators or CUDA's libraries raise this where memory runs out."""
    # torch.OutOfMemoryError by its name: it has lived in two modules, and a library other than
    # torch may have raised.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(
        text in str(error) for text in _NO_MEMORY
    )
