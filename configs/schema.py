"""The whole configuration of a run: the owners' settings, composed, and what must hold between them."""

from pydantic import BaseModel, ConfigDict, Field, model_validator

from avcorr.model.settings import OBJECTIVES, EvalSettings, ModelSettings, TrainSettings
from avcorr.pipeline.settings import PairSettings, ShardSettings


class Config(BaseModel):
    """One section for each part; every field has a default, so a file names only what it changes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    shard: ShardSettings = Field(default_factory=ShardSettings)
    pairs: PairSettings = Field(default_factory=PairSettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    train: TrainSettings = Field(default_factory=TrainSettings)
    eval: EvalSettings = Field(default_factory=EvalSettings)

    @model_validator(mode="after")
    def _sections_fit(self) -> "Config":
        objective, name = self.train.chosen_objective, self.train.objective
        if objective.needs_aligned_pairs and not self.pairs.aligned:
            raise ValueError(
                f"train.objective {name} needs pairs.aligned: true, since it makes its negatives inside the batch"
            )
        if objective.needs_shared_space and not self.model.network.has_shared_space:
            network = "localise: true" if self.model.localise else f"architecture {self.model.architecture}"
            others = " or ".join(key for key, other in OBJECTIVES.items() if not other.needs_shared_space)
            raise ValueError(
                f"train.objective {name} compares every image with every sound by their distance, which "
                f"model.{network} does not have; set train.objective: {others}"
            )
        if not objective.needs_aligned_pairs and self.pairs.aligned:
            raise ValueError(f"train.objective {name} needs pairs.aligned: false, since it learns from drawn negatives")
        if self.shard.sample_rate != self.model.spectrogram.sample_rate:
            raise ValueError(
                f"shard.sample_rate is {self.shard.sample_rate} and model.spectrogram.sample_rate is "
                f"{self.model.spectrogram.sample_rate}; they must be equal"
            )
        return self
