"""Recipes: options of a training in a TOML file, from the package or of one's own."""

from __future__ import annotations

import sys
from dataclasses import MISSING, fields
from importlib import resources
from pathlib import Path
from typing import Any

from msnvis.errors import InputError, OptionError
from msnvis.registry import did_you_mean
from msnvis.segmenters.training.augment import Augmentation
from msnvis.segmenters.training.loop import TrainOptions

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_FOLDER = "recipes"
#: What every run is told anew.
_NOT_IN_RECIPES = ("data", "output")


def recipe_names() -> list[str]:
    """Recipes of the package.

    >>> recipe_names()
    ['msn-paper']
    """
    folder = resources.files("msnvis.segmenters.training").joinpath(_FOLDER)
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))


def read_recipe(recipe: str) -> dict[str, Any]:
    """Options of `TrainOptions` from a recipe.

    Args:
        recipe: one of `recipe_names`, or the path of a TOML file whose keys are names of options; those of
            the augmentation stand in a table ``[augmentation]``.

    Raises:
        InputError: the file cannot be read or is not TOML.
        OptionError: there is no such recipe, or it sets something that is no option.

    >>> read_recipe("msn-paper")["short_sides"]
    (640, 672, 704, 736, 768, 800)
    """
    values = _read(recipe)
    augmentation = values.pop("augmentation", None)
    options = _checked(values, TrainOptions, recipe)
    if augmentation is not None:
        options["augmentation"] = Augmentation(**_checked(augmentation, Augmentation, recipe))
    return options


def _read(recipe: str) -> dict[str, Any]:
    if recipe in recipe_names():
        file = resources.files("msnvis.segmenters.training").joinpath(_FOLDER, f"{recipe}.toml")
    else:
        file = Path(recipe)
        if not file.suffix and not file.exists():
            hint = did_you_mean(recipe, recipe_names())
            raise OptionError(f"no recipe is called '{recipe}'; {hint}, or give the path of a TOML file")
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{recipe} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{recipe} is not a TOML file ({error})") from error


def _checked(values: Any, kind: type, recipe: str) -> dict[str, Any]:
    """`values`, lists as tuples, if they are fields of the dataclass `kind` and like their defaults."""
    if not isinstance(values, dict):
        raise OptionError(f"recipe {recipe}: [augmentation] must be a table of options")
    known = {field.name: field.default for field in fields(kind) if field.name not in _NOT_IN_RECIPES}
    checked = {}
    for name, value in values.items():
        if name not in known:
            raise OptionError(
                f"recipe {recipe} sets '{name}', which is no option; {did_you_mean(name, known)}"
            )
        checked[name] = tuple(value) if isinstance(value, list) else value
        if not _fits(checked[name], known[name]):
            raise OptionError(f"recipe {recipe}: '{name}' cannot be {value!r}; it is like {known[name]!r}")
    return checked


def _fits(value: Any, default: Any) -> bool:
    """Whether `value` may stand where `default` does."""
    if default is MISSING or default is None:
        return isinstance(value, str | int | float)
    if isinstance(default, tuple):
        return isinstance(value, tuple) and all(_fits(v, default[0] if default else 0.0) for v in value)
    if isinstance(default, float):
        return type(value) in (int, float)
    return type(value) is type(default)
