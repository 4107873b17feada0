"""The part `data` of the spec: where the examples come from, and what is done to them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    Field,
    ValidationInfo,
    field_validator,
)

from trainer.spec.choosing import DropSpec, Features, named
from trainer.spec.columns import ColumnSpec, Missing, Scale
from trainer.spec.fields import (
    ColumnName,
    ColumnNames,
    Fraction,
    Names,
    Strict,
    as_tuple,
    wrong,
)
from trainer.spec.sources import (
    ArrowSource,
    CsvSource,
    FileSource,
    InlineSource,
    JsonlSource,
    NpySource,
    ParquetSource,
    SourceSpec,
    SyntheticSource,
)

# Splits ----------------------------------------------------------------------------------------


class SplitSpec(Strict):
    """Which rows are held back from training."""

    validation: Fraction = 0.0
    """Fraction evaluated after each epoch."""
    test: Fraction = 0.0
    """Fraction evaluated once, after the last epoch."""
    group: ColumnName | None = None
    """A column: rows with the same value in it stay together."""
    time: ColumnName | None = None
    """A column of numbers or dates: the latest rows are for testing, those before them for
    validation."""
    folds: Annotated[int, Field(ge=2)] | None = None
    """Into how many parts the rows are dealt for cross-validation."""
    fold: Annotated[int, Field(ge=1)] | None = None
    """The part that is for testing, counted from 1."""

    @field_validator("test")
    @classmethod
    def _leaves_rows(cls, test: float, info: ValidationInfo) -> float:
        if test + info.data.get("validation", 0) >= 1:
            total = f"{test + info.data['validation']:g}"
            raise wrong(
                f"validation and test together take {total} of the rows",
                "leave some rows for training: keep the sum below 1",
                code="TR-D031",
            )
        return test

    @field_validator("time")
    @classmethod
    def _one_way(cls, time: str | None, info: ValidationInfo) -> str | None:
        if time is not None and info.data.get("group") is not None:
            raise wrong(
                "rows are split by group or by time, not by both",
                "leave one of them out",
                code="TR-S019",
            )
        return time

    @field_validator("folds")
    @classmethod
    def _folds_fit(cls, folds: int | None, info: ValidationInfo) -> int | None:
        if folds is not None and info.data.get("test"):
            raise wrong("one of the folds is for testing", "leave `test` out", code="TR-S019")
        return folds

    @field_validator("fold")
    @classmethod
    def _of_folds(cls, fold: int | None, info: ValidationInfo) -> int | None:
        folds = info.data.get("folds")
        if fold is not None and folds is None:
            raise wrong(
                "a fold needs folds", "write for example {folds: 5, fold: 1}", code="TR-S020"
            )
        if fold is not None and folds is not None and fold > folds:
            raise wrong(
                f"there are {folds} folds, found {fold}", "folds are counted from 1", code="TR-S014"
            )
        return fold


# The whole -------------------------------------------------------------------------------------


class DataSpec(Strict):
    """The examples, and what is done to them before training."""

    source: SourceSpec
    """A bundled data set's name, or `{csv: path}`, `{jsonl: path}`, `{excel: path}`,
    `{parquet: path}`, `{arrow: path}`, `{npz: path}`, `{npy: path, y: path}`,
    `{inline: {x: …, y: …}}`, `{synthetic: name}`."""
    target: ColumnNames | None = Field(
        default_factory=lambda data: _default_target(data), validate_default=True
    )
    """The column to predict, or several. Tables need it; bundled data sets have `target`."""
    features: Features | None = None
    """The columns to predict from; by default all but the target and those that `weights` and
    `split` name. `{except: [id, name]}` leaves some out, `{also: date}` takes one that `split`
    names."""
    columns: dict[ColumnName, ColumnSpec] = Field(default_factory=dict)
    """What single features are, where that is to be said: `{age: {missing: median}}`."""
    missing: Missing = "error"
    """What stands for missing values: `mean`, `median`, `most_frequent` (of the training rows),
    `{constant: …}`, or `error`. Categories take the most frequent instead of a mean or median."""
    max_categories: Annotated[int, Field(ge=2)] | None = None
    """The most categories of every categorical feature whose unknown ones are no errors: the rarest
    become one, see `columns`."""
    min_count: Annotated[int, Field(ge=1)] | None = None
    """The fewest training rows of a category that stays alone, likewise."""
    standardize: bool = False
    """The same as `scale: standard`: subtract each feature's mean and divide by its deviation, as
    found in the training rows."""
    scale: Scale = Field(
        default_factory=lambda data: ("standard",) if data.get("standardize") else ()
    )
    """How numbers are scaled: `none`, `standard` (mean 0, deviation 1), `minmax` (0 to 1),
    `robust` (median and quartiles), `log1p`, `quantile` (0 to 1, by rank), or a list of two."""
    target_scale: Scale = ()
    """How numeric targets are scaled; predictions come back in their units."""
    drop_rows: DropSpec | None = None
    """Rows that are left out: `{missing: target}`, `{missing: [target, features, …]}`."""
    weights: ColumnName | None = None
    """A column that says how much each row counts."""
    split: SplitSpec = SplitSpec()
    """Rows held back; by default none, and every row trains."""
    validation: Names | None = None
    """Files with the validation rows, of the source's kind."""
    test: Names | None = None
    """Files with the test rows, of the source's kind."""
    stream: bool = False
    """Whether rows stay on disk: for tables larger than memory. They are then shuffled in windows
    of some million rows."""

    @field_validator("target")
    @classmethod
    def _target_fits(cls, target: ColumnNames | None, info: ValidationInfo) -> ColumnNames | None:
        if isinstance(info.data.get("source"), FileSource) and target is None:
            raise wrong(
                "required key is missing", "name the column to predict: `target: …`", code="TR-S012"
            )
        return target

    @field_validator("features")
    @classmethod
    def _no_targets(cls, features: Features | None, info: ValidationInfo) -> Features | None:
        for at, name in named(features):
            if name in as_tuple(info.data.get("target") or ()):
                raise wrong(
                    f"'{name}' is the target and cannot also be a feature", at=at, code="TR-S036"
                )
        return features

    @field_validator("scale")
    @classmethod
    def _one_scale(cls, scale: Scale, info: ValidationInfo) -> Scale:
        if info.data.get("standardize") and scale != ("standard",):
            raise wrong(
                "`standardize: true` is a scale already", "leave one of them out", code="TR-S019"
            )
        return scale

    @field_validator("weights")
    @classmethod
    def _weights_apart(cls, weights: str | None, info: ValidationInfo) -> str | None:
        features = [name for _, name in named(info.data.get("features"))]
        targets = as_tuple(info.data.get("target") or ())
        for what, names in (("targets", targets), ("features", features)):
            if weights is not None and weights in names:
                raise wrong(f"'{weights}' is among the {what} and cannot be a weight",
                            "name another column", code="TR-S036")  # fmt: skip
        return weights

    @field_validator("validation", "test")
    @classmethod
    def _own_files(cls, files: Names | None, info: ValidationInfo) -> Names | None:
        part, split = str(info.field_name), info.data.get("split")
        if files is None or "source" not in info.data:  # it is wrong, and told
            return files
        if not isinstance(info.data.get("source"), FileSource):
            raise wrong(
                "the source is no file, so this cannot be one",
                f"write split: {{{part}: 0.2}}",
                code="TR-S019",
            )
        if isinstance(info.data["source"], NpySource):
            raise wrong(
                "rows of .npy files are in two files", "use .npz files, or a split", code="TR-S019"
            )
        if split is not None and getattr(split, part):
            raise wrong(
                f"the {part} rows are given and split off",
                f"leave split.{part} out",
                code="TR-S019",
            )
        if part == "test" and split is not None and split.folds:
            raise wrong("one of the folds is for testing", "leave `test` out", code="TR-S019")
        return files

    @field_validator("stream")
    @classmethod
    def _streams(cls, stream: bool, info: ValidationInfo) -> bool:
        source, split = info.data.get("source"), info.data.get("split")
        if not stream or source is None:
            return stream
        if not isinstance(source, CsvSource | JsonlSource | ParquetSource | ArrowSource):
            raise wrong("only rows of csv, jsonl, parquet and arrow files can stay on disk",
                        "leave stream out", code="TR-S035")  # fmt: skip
        if split is not None and (split.group or split.time or split.folds):
            raise wrong("rows that stay on disk are split by chance alone",
                        "leave group, time and folds out", code="TR-S035")  # fmt: skip
        return stream

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns to predict."""
        return as_tuple(self.target or ())

    @property
    def lists_features(self) -> bool:
        """Whether the spec names every feature."""
        return isinstance(self.features, tuple)

    @property
    def has_validation(self) -> bool:
        """Whether there are rows to evaluate after each epoch."""
        return bool(self.split.validation) or self.validation is not None


def _default_target(data: dict[str, Any]) -> str | None:
    source = data.get("source")
    if isinstance(source, NpySource | SyntheticSource | InlineSource):
        return "y"
    return None if isinstance(source, FileSource) else "target"
