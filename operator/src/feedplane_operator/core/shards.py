"""Instruments to shards: sticky rendezvous hashing with a cap.

An instrument stays where it is for as long as its shard may hold it. A new one goes to the shard
with room that it has the highest weight for, or opens the lowest free shard. So adding one moves
none of the others, removing one moves nothing, and a lower cap moves just the surplus. Shards that
empty are closed; those left half empty are not merged, since that would move instruments.
"""

import hashlib
from collections.abc import Collection, Mapping


def assign_shards(
    symbols: Collection[str], previous: Mapping[str, int], cap: int
) -> dict[str, int]:
    """Return the shard of each symbol, sorted by symbol.

    `previous` is the assignment in force; symbols in it that are no longer wanted are passed over.
    """
    shards: dict[int, list[str]] = {}
    for symbol in sorted(symbols):
        if symbol in previous:
            shards.setdefault(previous[symbol], []).append(symbol)
    for shard, held in shards.items():
        held.sort(key=lambda symbol: (-_weight(symbol, shard), symbol))
        del held[cap:]
    assigned = {symbol: shard for shard, held in shards.items() for symbol in held}
    counts = {shard: len(held) for shard, held in shards.items()}
    for symbol in sorted(set(symbols) - assigned.keys()):
        shard = _shard_with_room(symbol, counts, cap)
        counts[shard] = counts.get(shard, 0) + 1
        assigned[symbol] = shard
    return dict(sorted(assigned.items()))


def _shard_with_room(symbol: str, counts: Mapping[int, int], cap: int) -> int:
    open_shards = [shard for shard, count in counts.items() if count < cap]
    if open_shards:
        return max(open_shards, key=lambda shard: (_weight(symbol, shard), -shard))
    return next(shard for shard in range(len(counts) + 1) if shard not in counts)


def _weight(symbol: str, shard: int) -> int:
    digest = hashlib.blake2b(f"{shard}/{symbol}".encode(), digest_size=8).digest()
    return int.from_bytes(digest)
