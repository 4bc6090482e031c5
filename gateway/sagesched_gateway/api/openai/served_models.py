"""`ServedModels`: the names OpenAI clients use, and the Triton models behind them.

With `openai.servedName` there is one name, for `openai.model` or, without it, for the preferred text model.
With `openai.model` alone there is that model under its own name. With neither, all text models are served.
"""

from __future__ import annotations

from sagesched_gateway.dispatch.dispatcher import Dispatcher
from sagesched_gateway.errors import UnknownModelError, UpstreamUnavailableError
from sagesched_gateway.settings.sections.openai import OpenAIConfig


class ServedModels:
    """Finds models by name."""

    def __init__(self, dispatcher: Dispatcher, config: OpenAIConfig) -> None:
        self._dispatcher = dispatcher
        self._served_name = config.served_name
        self._model = config.model

    def names(self) -> list[str]:
        """All names that can be asked for now, the preferred one first."""
        there = self._dispatcher.text_models()
        if self._model is not None:
            return [self._served_name or self._model] if self._model in there else []
        if self._served_name is not None:
            return [self._served_name] if there else []
        return list(there)

    async def find(self, name: str) -> str:
        """The Triton model behind a name, looked up where it is not known yet.

        Raises:
            UnknownModelError: nothing is served under this name.
            UpstreamUnavailableError: Triton cannot be asked.
        """
        model = self._behind(name)
        if model not in self._dispatcher.text_models():
            await self._dispatcher.resolve(model)
        if model not in self._dispatcher.text_models():
            raise _unknown(name)
        return model

    def _behind(self, name: str) -> str:
        if self._served_name is None and self._model is None:
            return name
        if name != (self._served_name or self._model):
            raise _unknown(name)
        if self._model is not None:
            return self._model
        there = self._dispatcher.text_models()
        if not there:
            raise UpstreamUnavailableError("Triton has no ready model that takes text")
        return there[0]


def _unknown(name: str) -> UnknownModelError:
    return UnknownModelError(f"The model '{name}' does not exist")
