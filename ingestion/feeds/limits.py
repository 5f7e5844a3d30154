"""How large a delivery and its parts may be; no honest file comes near the defaults, a feed may state others."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

# Below this size nothing is said about how well a file was packed: a small file of zeros harms nobody.
RATIO_FROM_BYTES = 100_000_000
# Digits of a number in JSON; Python's reader refuses far longer ones.
MOST_DIGITS = 1_000


class Limits(BaseModel):
    """``limits`` of a feed. A file beyond one is refused as a whole, a record beyond one by itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file_bytes: int = Field(default=100_000_000_000, ge=1)
    unpacked_ratio: int = Field(default=200, ge=1)
    members: int = Field(default=10_000, ge=1)
    columns: int = Field(default=10_000, ge=1)
    record_bytes: int = Field(default=8_000_000, ge=1)
    field_bytes: int = Field(default=4_000_000, ge=1)
    levels: int = Field(default=100, ge=1, le=400)

    def fault(self, size: int, packed_size: int) -> str | None:
        """Give what is wrong with so many bytes that came out of a file of ``packed_size`` bytes, if anything."""
        if size > self.file_bytes:
            return f"holds more than {self.file_bytes:,} bytes (limits: file_bytes of the feed)"
        if size > RATIO_FROM_BYTES and size > packed_size * self.unpacked_ratio:
            return (
                f"unpacks to more than {self.unpacked_ratio} times its size (limits: unpacked_ratio of the feed), "
                "as only a bomb does"
            )
        return None
