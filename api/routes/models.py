"""/v1/models and /v1/embeddings"""

import base64
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field

from api.auth import CallerOf, ServicesOf
from api.wire.common import WireModel
from api.wiring import Services
from catalog.errors import InvalidRequest, NotFound, UnsupportedParameter

router = APIRouter(prefix="/v1", tags=["Models"])

# OpenAI's limits.
_MAX_INPUTS = 2048
# Models have no date of their own here; a constant keeps listings equal from call to call.
_CREATED = 1_760_000_000

Text = Annotated[str, Field(min_length=1)]


class CreateEmbeddings(WireModel):
    model: str
    input: Text | Annotated[list[Text], Field(min_length=1, max_length=_MAX_INPUTS)]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
    user: str | None = None


@router.get("/models")
def list_models(services: ServicesOf, _caller: CallerOf) -> dict[str, Any]:
    return {"object": "list", "data": [_model(name) for name in _names(services)]}


@router.get("/models/{model}")
def retrieve_model(services: ServicesOf, _caller: CallerOf, model: str) -> dict[str, Any]:
    if model not in _names(services):
        raise NotFound(f"There is no model {model!r}; GET /v1/models lists them.", param="model")
    return _model(model)


@router.post("/embeddings")
def create_embeddings(services: ServicesOf, _caller: CallerOf, body: CreateEmbeddings) -> dict[str, Any]:
    """Embed texts with the model that embeds documents and questions. A text that is too long for it is refused."""
    # One for the whole request: another model may become current meanwhile.
    embedder = services.embedder
    identity = embedder.identity
    if body.model != identity.model:
        raise NotFound(f"There is no embedding model {body.model!r}; it is {identity.model!r}.", param="model")
    if body.dimensions not in {None, identity.dimension}:
        raise UnsupportedParameter(f"{identity.model} has {identity.dimension} dimensions only.", param="dimensions")
    texts = [body.input] if isinstance(body.input, str) else body.input
    tokens = [len(embedder.token_spans(text)) for text in texts]
    if max(tokens) > embedder.max_tokens:
        position = tokens.index(max(tokens))
        raise InvalidRequest(
            f"input[{position}] has {tokens[position]} tokens; {identity.model} reads {embedder.max_tokens}.",
            param="input",
        )
    vectors = embedder.embed_documents(texts).astype("<f4")
    as_base64 = body.encoding_format == "base64"
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(vector.tobytes()).decode() if as_base64 else vector.tolist(),
        }
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": sum(tokens), "total_tokens": sum(tokens)}
    return {"object": "list", "data": data, "model": identity.model, "usage": usage}


def _names(services: Services) -> list[str]:
    return list(dict.fromkeys([*services.profiles, services.embedder.identity.model]))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": "footnote"}
