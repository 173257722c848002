"""Tiles, warps and stages of the chunkwise Triton kernels, and their grids. Computes nothing.

Any choice gives the same results; `data/experiments/kernels.md` says what was tried.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
import triton
import triton.language as tl

# Tokens of a chunk: states are stored once a chunk, work inside it is quadratic.
CHUNK = {torch.bfloat16: 128}
OTHER_CHUNK = 64
# Chunks whose sums of gates are worked on at once, and tokens whose gradients of gates are.
CHUNKS = 1024
GATES = 4096

# fmt: off
BFLOAT16 = {
    "sums": {"ROWS": 64, "TILE_K": 64},
    "walk": {"ROWS": 128, "TILE_K": 64, "TILE_V": 128, "num_warps": 4, "num_stages": 3},
    "walk_back": {"ROWS": 128, "TILE_K": 64, "TILE_V": 128, "num_warps": 8, "num_stages": 3},
    "outputs": {
        "ROWS": 64, "KEYS": 64, "PART": 64, "PART_K": 128, "TILE_V": 512,
        "num_warps": 8, "num_stages": 2,
    },
    "queries": {"ROWS": 64, "TILE_K": 256, "PART_K": 64, "PART_V": 64, "num_warps": 8},
    "keys": {"ROWS": 64, "TILE_K": 256, "PART_K": 64, "PART_V": 64, "num_warps": 8},
    "values": {"ROWS": 64, "PART": 64, "TILE_V": 256, "num_warps": 8, "num_stages": 3},
}
# Tiles of wider numbers do not fit the shared memory twice.
FLOAT32 = {
    "sums": {"ROWS": 64, "TILE_K": 64},
    "walk": {"ROWS": 64, "TILE_K": 64, "TILE_V": 64, "num_warps": 8, "num_stages": 1},
    "walk_back": {"ROWS": 64, "TILE_K": 64, "TILE_V": 64, "num_warps": 8, "num_stages": 1},
    "outputs": {
        "ROWS": 64, "KEYS": 64, "PART": 64, "PART_K": 64, "TILE_V": 64,
        "num_warps": 8, "num_stages": 1,
    },
    "queries": {"ROWS": 64, "TILE_K": 64, "PART_K": 64, "PART_V": 64, "num_stages": 1},
    "keys": {"ROWS": 64, "TILE_K": 64, "PART_K": 64, "PART_V": 64, "num_stages": 1},
    "values": {"ROWS": 64, "PART": 64, "TILE_V": 64, "num_warps": 8, "num_stages": 1},
}
# fmt: on
FLOAT64 = {
    name: {key: min(n, 32) if key.isupper() else n for key, n in tile.items()}
    for name, tile in FLOAT32.items()
}
# In place of those of "outputs" where their programs would not occupy every multiprocessor.
FEW = {torch.bfloat16: {"PART_K": 64, "TILE_V": 128, "num_warps": 4, "num_stages": 3}}
MULTIPROCESSORS = 132  # of an H100 or H200
TILES = {torch.bfloat16: BFLOAT16, torch.float32: FLOAT32, torch.float64: FLOAT64}


@dataclass(frozen=True)
class Plan:
    """What every launch for one shape needs: numbers, and per kernel its tiles and grid.

    sequences: batch x heads. chunk, chunks: tokens of a chunk and chunks of a sequence.
    acc, dot: dtype of sums and states, and of the operands of products. types: the same as the
    constants ACC and DOT, and EVEN: no block of rows is cut short. compiled: kernels so far.
    """

    heads: int
    sequences: int
    length: int
    dk: int
    dv: int
    chunk: int
    chunks: int
    acc: torch.dtype
    dot: torch.dtype
    types: dict[str, Any]
    tiles: dict[str, dict[str, Any]]
    compiled: dict[Any, Any] = field(default_factory=dict)

    @property
    def numbers(self) -> tuple[int, ...]:
        """H, S, L, N as the kernels take them."""
        return self.heads, self.length, self.chunk, self.chunks

    def count(self, kernel: str, width: int, tile: str) -> int:
        """Tiles of a width."""
        return -(-width // self.tiles[kernel][tile])

    def blocks(self, kernel: str) -> int:
        """Blocks of rows of a sequence."""
        return self.chunks * self.count(kernel, self.chunk, "ROWS")


@lru_cache(maxsize=256)
def plan(
    shape: tuple[int, int, int, int], dv: int, dtype: torch.dtype, acc: torch.dtype, most: int
) -> Plan:
    """The plan for q of `shape` (B, H, S, Dk) and dtype, heads of v of `dv`, chunks of `most`."""
    batch, heads, length, dk = shape
    dot = torch.bfloat16 if dtype == torch.bfloat16 else acc
    preferred = CHUNK.get(dot, OTHER_CHUNK)
    chunk = min(length, preferred if most >= OTHER_CHUNK else most)
    limits = {
        "ROWS": chunk,
        "KEYS": chunk,
        "TILE_K": dk,
        "PART_K": dk,
        "PART": dk,
        "TILE_V": dv,
        "PART_V": dv,
    }
    chunks, rows = triton.cdiv(length, chunk), _fit(GATES, chunk)
    chosen = dict(TILES[dot])
    blocks = batch * heads * chunks * triton.cdiv(chunk, chosen["outputs"]["ROWS"])
    if blocks * triton.cdiv(dv, chosen["outputs"]["TILE_V"]) < MULTIPROCESSORS:
        chosen["outputs"] = chosen["outputs"] | FEW.get(dot, {})
    tiles = {
        name: {key: _fit(n, limits[key]) if key in limits else n for key, n in tile.items()}
        for name, tile in chosen.items()
    }
    power = triton.next_power_of_2(chunks)
    tiles["chunk_gates"] = {"ROWS": rows, "num_warps": 4}
    tiles["gates"] = {"ROWS": rows, "CHUNKS": min(power, CHUNKS), "TILE_K": _fit(128, dk)}
    tiles["gates"]["num_warps"] = 8
    tiles["gate_gradients"] = {"ROWS": rows, "CHUNKS": min(power, GATES // rows), "num_warps": 8}
    for name in ("sums", "walk", "walk_back"):
        tiles[name]["BLOCKS"] = -(-chunk // tiles[name]["ROWS"])
    cuts = [n for tile in tiles.values() for key, n in tile.items() if key in ("ROWS", "KEYS")]
    even = length % chunk == 0 and all(chunk % n == 0 for n in cuts)
    types = {"ACC": getattr(tl, _name(acc)), "DOT": getattr(tl, _name(dot)), "EVEN": even}
    numbers = heads, batch * heads, length, dk, dv, chunk, chunks
    return Plan(*numbers, acc, dot, types, tiles)


def _fit(tile: int, width: int) -> int:
    """The power of two from 16 to `tile` that holds `width` if one does."""
    return max(16, min(tile, triton.next_power_of_2(width)))


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
