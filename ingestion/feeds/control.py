"""What a source says of its own file: how many records it holds and what their amounts add up to."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

Place = int | str


class Control(BaseModel):
    """``control`` of a feed: the file's last line, or a file beside it, tells records and sums.

    A value is found by its place in the line, from 1, or by its name in a side file of ``name=value`` lines or JSON.
    ``{name}`` stands for the file's name, ``{stem}`` for it without its endings.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    trailer: str | None = Field(default=None, min_length=1)
    file: str | None = Field(default=None, min_length=1, pattern=r"^[^/\\]*\{(name|stem)\}[^/\\]*$")
    rows: Place | None = None
    sums: dict[str, Place] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_place(self) -> Control:
        if (self.trailer is None) == (self.file is None):
            raise ValueError("control is told by either 'trailer' or 'file'")
        if self.rows is None and not self.sums:
            raise ValueError("control tells 'rows', 'sums' or both")
        for place in self._places:
            if isinstance(place, int) and place < (1 if self.trailer is None else 2):
                raise ValueError("places are counted from 1, and a trailer's first value is its mark")
            if isinstance(place, str) and self.trailer is not None:
                raise ValueError(f"a trailer has places and no names; write the place of '{place}'")
        return self

    @property
    def _places(self) -> list[Place]:
        return [*([] if self.rows is None else [self.rows]), *self.sums.values()]

    def file_of(self, name: str) -> str | None:
        """Give the name of the side file of a delivered file, if there is to be one."""
        if self.file is None:
            return None
        stem = name.removesuffix(".gz").rpartition(".")[0] or name
        return self.file.replace("{name}", name).replace("{stem}", stem)
