"""Prompts: `template` renders one, `registry` finds them, `cases` tests them; the files are in `templates/`."""

from generation.prompts.registry import PromptRegistry, load_template
from generation.prompts.template import PromptTask, PromptTemplate

__all__ = ["PromptRegistry", "PromptTask", "PromptTemplate", "load_template"]
