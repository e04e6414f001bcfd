"""One file per benchmark; each has `async def measure() -> list[Figure]` and says in its docstring what it does."""
