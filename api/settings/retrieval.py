"""How passages are found: embedding model, index, ranking."""

from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr, field_validator

from api.settings.types import AbsolutePath
from generation.tool_calling import DEFAULT_MAX_CALLS
from retrieval.fusion import DenseWeight


class EmbeddingSettings(BaseModel):
    """The model that makes vectors of questions and passages."""

    embedding_backend: Literal["openvino", "torch", "openai", "hashing"] = Field(
        "openvino",
        description="openvino on a CPU, torch on a GPU, openai for an endpoint that speaks OpenAI's API; hashing needs "
        "no model and is for tests.",
    )
    embedding_model: str = Field(
        "all-MiniLM-L6-v2",
        description="all-MiniLM-L6-v2, or the folder of a sentence-transformers model; openai: its name there. It "
        "counts until `footnote reindex` changes the model; docs/deployment.md.",
    )
    embedding_precision: Literal["auto", "f32", "bf16", "int8"] = Field(
        "auto",
        description="openvino: auto takes the fastest that agrees with f32, measured at the first start. int8 is fast "
        "on any processor with VNNI, and loses some quality.",
    )
    embedding_threads: int = Field(0, ge=0, description="openvino: threads for inference; 0 is all cores.")
    embedding_device: str | None = Field(
        None, description="torch: device such as cuda:0; none takes a GPU if there is."
    )
    embedding_query_prefix: str | None = Field(
        None, description="Put in front of a question when it is embedded; none takes what the model's config says."
    )
    embedding_document_prefix: str | None = Field(
        None, description="Put in front of a passage when it is embedded; none takes what the model's config says."
    )
    embedding_query_cache: int = Field(
        4096, ge=0, description="Questions whose vectors a process keeps, those asked last; 0 is none."
    )
    embedding_url: str | None = Field(
        None, pattern=r"^https?://\S+$", description="openai: where the endpoint is, such as https://HOST/v1."
    )
    embedding_api_key: SecretStr | None = Field(None, description="openai: the key for the endpoint.")
    embedding_dimensions: int | None = Field(
        None,
        gt=0,
        description="openai, hashing: dimensions to ask for; none takes the model's own, asked at each start.",
    )
    embedding_max_tokens: int = Field(
        512, gt=0, description="openai: tokens of a text that are sent; what is beyond is cut."
    )
    embedding_tokenizer: AbsolutePath | None = Field(
        None, description="openai: the model's tokenizer.json; none counts by a rule that is on the safe side."
    )
    embedding_requests_per_minute: int = Field(0, ge=0, description="openai: requests sent in a minute; 0 is any.")
    embedding_concurrency: int = Field(4, ge=1, le=256, description="openai: requests that one process sends at once.")
    embedding_timeout_s: float = Field(30.0, gt=0, description="openai: seconds that one request may take.")
    embedding_patience_s: float = Field(
        120.0,
        gt=0,
        description="openai: seconds for which documents are sent again to an endpoint that does not answer; their "
        "files then go back to the queue.",
    )

    models: AbsolutePath | None = Field(None, description="Folder for converted models; none is a folder in `home`.")


class SearchSettings(BaseModel):
    """The passage index, and how what it finds is ranked."""

    index: Literal["faiss", "qdrant", "memory"] = Field(
        "faiss", description="Passage index: in each process, on a Qdrant server, or exact, slow and for tests."
    )
    qdrant_url: str = Field("http://127.0.0.1:6333", description="qdrant: address of the server or its load balancer.")
    qdrant_api_key: SecretStr | None = Field(None, description="qdrant: a key that may write.")
    qdrant_prefix: str = Field(
        "footnote",
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        description="qdrant: beginning of the names of our collections; each catalog needs one of its own.",
    )
    qdrant_timeout_s: int = Field(30, ge=1, le=600, description="qdrant: seconds that a request may take.")
    qdrant_quantization: Literal["none", "scalar", "binary"] = Field(
        "none",
        description="qdrant: compressed vectors for the first choice: 8 bits or 1 bit for each of 16. docs/qdrant.md.",
    )
    qdrant_oversampling: float = Field(
        3.0, ge=1, le=100, description="qdrant: first choices for each hit; they are scored again by the exact vectors."
    )
    qdrant_hnsw_ef: int = Field(
        128, ge=16, le=4096, description="qdrant: width of a search without filter; more is more exact and slower."
    )
    qdrant_on_disk: bool = Field(False, description="qdrant: exact vectors and words stay on disk.")
    qdrant_shards: int = Field(1, ge=1, le=1000, description="qdrant: parts that a collection is made of.")
    qdrant_replicas: int = Field(1, ge=1, le=100, description="qdrant: copies of each part.")
    qdrant_write_consistency: int = Field(1, ge=1, le=100, description="qdrant: copies that have to confirm a write.")
    dense_weight: DenseWeight = Field(
        "auto",
        description="Share of the embedding in the ranking, 0 to 1; the rest is the words'. auto decides per question.",
    )

    search_by: Literal["question", "model"] = Field(
        "question",
        description="What is searched for: the question, or what a language model decides that calls the tool "
        "`file_search`; generator=openai, with a model and a server that know tools. docs/generators.md.",
    )
    max_tool_calls: int = Field(
        DEFAULT_MAX_CALLS,
        ge=1,
        le=20,
        description="search_by=model: calls that the model may make for one answer, wrong ones included; then it has "
        "to write. A request's `max_tool_calls` may say fewer.",
    )
    search_steps: int = Field(
        1,
        ge=1,
        le=4,
        description="search_by=question: searches for one question. With 2 or more what was found says what to search "
        "for next, for questions of several parts. A request's `max_steps` wins.",
    )

    search_steps_by: Literal["rule", "model"] = Field(
        "rule",
        description="Who says what the further steps search for: a rule, or the language model of generator, which is "
        "asked once for each; where its reply is no query, the rule.",
    )

    reranker: Literal["none", "cross-encoder", "openai", "tei"] = Field(
        "none",
        description="Who reads the best passages again: a CrossEncoder in this process, or an endpoint.",
    )
    reranker_model: str = Field("", description="cross-encoder: folder or name of the model; openai: its name.")
    reranker_url: str | None = Field(None, description="openai, tei: address that takes POST requests, path included.")
    reranker_key: SecretStr | None = Field(None, description="openai, tei: key that is sent as a bearer token.")

    @field_validator("dense_weight", mode="plain")
    @classmethod
    def _weight(cls, value: Any) -> DenseWeight:
        if value == "auto":
            return "auto"
        try:
            weight = float(value)
        except (TypeError, ValueError):
            weight = -1.0
        if not 0 <= weight <= 1:
            raise ValueError("use auto, or a number from 0 to 1")
        return weight

    @field_validator("qdrant_url", mode="after")
    @classmethod
    def _check_url(cls, url: str) -> str:
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
            raise ValueError("it has to begin with http:// or https:// and a host")
        return url
