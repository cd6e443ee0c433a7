"""Forms in which more than one setting is written."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode


def _separated(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


# Lists are written with commas in the environment, and as lists in the file.
CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_separated)]
AbsolutePath = Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]
