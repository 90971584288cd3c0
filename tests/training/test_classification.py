"""Encoder and heads that learn from records of vertebrae."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from cspine_zoo.errors import UsageError
from cspine_zoo.models.encoder import SliceEncoder
from cspine_zoo.models.slice_classifier import SliceClassifier
from cspine_zoo.models.spine_classifier import SpineClassifier
from cspine_zoo.synthetic.families import ALL
from cspine_zoo.training import train
from cspine_zoo.training.classification import (
    Features,
    encoder_features,
    train_head,
    untrained_classifier,
)
from cspine_zoo.training.classifier_presets import LIGHT
from cspine_zoo.training.devices import Devices
from cspine_zoo.training.imagenet import BACKBONE, start_from_imagenet
from cspine_zoo.training.presets import preset_named
from cspine_zoo.training.prior import PREVALENCE
from cspine_zoo.training.recipes import CHALLENGE, SharedEncoderPreset
from cspine_zoo.training.records import (
    MAP_PX,
    Vertebrae,
    VertebraRecord,
    record,
    write_shard,
)
from cspine_zoo.training.slice_batches import loader_processes
from cspine_zoo.training.slice_encoder import (
    EncoderTask,
    SliceBatches,
    map_loss,
    train_encoder,
    untrained_encoder,
)
from cspine_zoo.training.start import Start, read_start
from cspine_zoo.training.train import fingerprint
from cspine_zoo.zoo.load import load_model
from tests.training.made_up import TINY, MadeUp, made_up_cache, made_up_records

CPU = Devices(1, "cpu", "float32")


@pytest.fixture(scope="module")
def vertebrae(tmp_path_factory: pytest.TempPathFactory) -> Vertebrae:
    return made_up_cache(tmp_path_factory.mktemp("crops"), 8)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> SliceEncoder:
    root = tmp_path_factory.mktemp("encoder")
    made_up_cache(root / "crops", 8)
    task = EncoderTask(TINY, root / "crops", out=root / "run", workers=0)
    assert CPU.run(train_encoder, task)
    encoder = untrained_encoder(TINY)
    encoder.load_state_dict(torch.load(task.result, weights_only=True))
    return encoder


def test_a_batch_holds_each_fractured_slice_with_its_twin(vertebrae: Vertebrae) -> None:
    batches = SliceBatches(vertebrae, TINY)
    images, truth, maps = batches(3, 0, 1)
    assert images.shape == (8, 4, 24, 24)
    assert maps.shape == (8, 1, MAP_PX, MAP_PX)
    assert truth[:4].tolist() == [1, 1, 0, 0]
    assert torch.equal(maps.amax((1, 2, 3)) > 0.5, truth > 0)
    assert torch.equal(batches(3, 0, 1)[0], images)
    rows, places = batches._choice(2, 4, torch.Generator().manual_seed(1))
    assert np.array_equal(vertebrae.twins[rows[:2]], rows[2:4])
    assert np.array_equal(places[:2], places[2:4])


def test_what_differs_between_a_slice_and_its_twin_is_the_fracture_alone(tmp_path: Path) -> None:
    """The same pose, blur, texture and noise: images that are alike stay so."""
    broken, whole = made_up_records(8)[0::2], made_up_records(8)[1::2]
    unseen = [replace(w, images=b.images) for b, w in zip(broken, whole, strict=True)]
    write_shard(tmp_path / "shard-00000", [*broken, *unseen])
    batches = SliceBatches(Vertebrae(tmp_path), TINY)
    for step in range(5):
        images, truth, _ = batches(step, 0, 1)
        assert truth[:4].tolist() == [1, 1, 0, 0]
        assert torch.equal(images[:2], images[2:4])
        assert not torch.equal(images[0], images[1])
        assert not torch.equal(images[:2], images[4:6])
    assert len(batches(0, 0, 4)[0]) == 2  # no others in the batch


def test_slices_of_unknown_truth_are_never_drawn_and_lonely_fractures_get_a_stand_in(
    tmp_path: Path,
) -> None:
    records = made_up_records(8)
    unknown = [
        replace(r, slice_known=np.zeros(5, bool), slice_truth=np.zeros(5, bool), twin="")
        for r in records[0:6:2]
    ]
    lonely = [replace(r, twin="") for r in records[6::2]]
    write_shard(tmp_path / "shard-00000", [*unknown, *lonely, *records[1::2]])
    data = Vertebrae(tmp_path)
    batches = SliceBatches(data, TINY)
    for seed in range(30):
        rows, places = batches._choice(2, 4, torch.Generator().manual_seed(seed))
        assert data.slice_known[rows, places].all()
        assert data.slice_truth[rows[:2], places[:2]].all()
        assert not data.labels[rows[2:4]].any()
        assert np.array_equal(data.levels[rows[:2]], data.levels[rows[2:4]])


def test_an_encoder_without_slice_truth_is_refused(tmp_path: Path) -> None:
    whole = made_up_records(3)[1::2]
    write_shard(tmp_path / "shard-00000", whole)
    with pytest.raises(UsageError) as caught:
        train_encoder(CPU.fabric(), EncoderTask(TINY, tmp_path, out=tmp_path / "run"))
    assert caught.value.code == "no_slice_truth"


def test_maps_are_learnt_by_cells() -> None:
    """The loss is least where the logits tell the cells with fracture from those without."""
    shares = torch.zeros(1, 1, 8, 8)
    shares[..., 2:4, 4:6] = 0.3
    right = torch.full((1, 1, 4, 4), -6.0)
    right[..., 1, 2] = 6.0
    assert float(map_loss(right, shares)) < 0.01
    assert float(map_loss(right.transpose(2, 3), shares)) > 0.5


def test_rows_of_one_recipe_share_it_and_others_do_not() -> None:
    first = fingerprint(LIGHT[0], [])
    assert {fingerprint(preset, []) for preset in LIGHT} == {first}
    assert fingerprint(replace(LIGHT[0], weights=CHALLENGE), []) == first
    others = [
        fingerprint(replace(LIGHT[0], encoder_passes=99), []),
        fingerprint(replace(LIGHT[0], families=ALL | {"another"}), []),
        fingerprint(LIGHT[0], [b"shapes"]),
    ]
    assert len({first, *others}) == 4


def test_rows_with_one_encoder_may_lend_it_to_each_other() -> None:
    lender = load_model("cls-cnn-lite0", "cpu")
    seven = preset_named("cls-seven-bilstm-lite0")
    start = read_start(lender.entry.name, seven)
    assert not start.whole
    assert start.text.startswith(f"Started from the slice encoder of {lender.entry.name} ")
    untrained_encoder(seven).load_state_dict(start.encoder())
    assert read_start(lender.entry.name, preset_named(lender.entry.name)).whole
    with pytest.raises(UsageError) as caught:
        read_start(lender.entry.name, replace(seven, arguments=seven.arguments | {"features": 128}))
    assert caught.value.code == "other_architecture"


@pytest.mark.parametrize("known", [True, False], ids=["encoder learns", "encoder stays"])
def test_a_head_goes_on_only_with_the_encoder_that_it_has_read(
    known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retrained encoder has other features: on these the old head never recovered."""
    untrained = untrained_classifier(TINY).state_dict()
    old = {name: tensor + 1 for name, tensor in untrained.items()}
    start = Start(TINY.name, "0" * 64, old)
    begun: list[dict[str, torch.Tensor]] = []
    monkeypatch.setattr(train, "read_start", lambda *_: start)
    monkeypatch.setattr(train, "SyntheticCrops", lambda *_: _Crops(1, 4, known=known))
    monkeypatch.setattr(
        train,
        "train_head",
        lambda _fabric, _preset, network, *_, **__: begun.append(
            {name: tensor.clone() for name, tensor in network.state_dict().items()}
        ),
    )
    train.train(train.Job(TINY, tmp_path, start="old", devices=CPU, workers=0))
    head = [name for name in old if not name.startswith("encoder.")]
    assert head
    for name in head:
        assert torch.equal(begun[0][name], untrained[name] if known else old[name]), name


@dataclass(frozen=True)
class _Crops(MadeUp):
    """Made-up crops, of which it may be unknown which slices show the fracture."""

    known: bool = True

    def records(self, number: int) -> list[VertebraRecord]:
        if self.known:
            return super().records(number)
        return [
            record(one.images, one.label, one.level, one.study, one.twin)
            for one in super().records(number)
        ]


def test_a_network_on_the_cpu_shares_its_cores_with_no_loader() -> None:
    assert loader_processes(3, torch.device("cpu")) == 0
    assert loader_processes(3, torch.device("cuda")) == 3


def test_every_layer_learns_from_where_imagenet_left_it(encoder: SliceEncoder) -> None:
    start = SliceEncoder(BACKBONE, 4, 8, "avgmax")
    start_from_imagenet(start, BACKBONE)
    before, after = dict(start.backbone.named_parameters()), encoder.backbone.state_dict()
    kernels = [name for name in before if before[name].dim() == 4]
    assert len(kernels) > 40
    for name in kernels:
        assert not torch.equal(before[name], after[name]), name
        likeness = functional.cosine_similarity(
            before[name].flatten(), after[name].flatten(), dim=0
        )
        assert likeness > 0.9, name


def test_features_are_of_every_vertebra_under_each_view(
    encoder: SliceEncoder, vertebrae: Vertebrae
) -> None:
    features = encoder_features(encoder, vertebrae, TINY, 2, torch.device("cpu"))
    assert features.values.shape == (2, 16, 5, 8)
    assert features.truth.tolist() == [1, 0] * 8
    assert torch.equal(features.slices.bool(), torch.from_numpy(vertebrae.slice_truth))
    assert features.known.all()
    assert features.studies.unique().tolist() == [0, 1, 2, 3]
    assert not torch.equal(features.values[0], features.values[1])


def _features(values: torch.Tensor, slices: torch.Tensor, known: torch.Tensor) -> Features:
    """Patients of seven levels, each scanned broken and whole in turn; the last is cut short."""
    places = torch.arange(values.shape[1])
    truth = 1.0 - places % 2
    studies = 2 * (places // 14) + places % 2
    return Features(values, truth, slices, known, studies, places // 2 % 7 + 1, places ^ 1)


def _scores(network: SliceClassifier, features: Features) -> torch.Tensor:
    """Logits of all vertebrae, each among those of its study where the network reads spines."""
    values = features.values[0]
    if not isinstance(network, SpineClassifier):
        return network.score(values).logit
    places = features.studies, features.levels - 1
    shape = int(features.studies.max()) + 1, 7
    present = torch.zeros(shape, dtype=torch.bool).index_put(places, torch.tensor(True))
    spines = torch.zeros(*shape, *values.shape[1:]).index_put(places, values)
    return network.score(spines, present).logit[places]


@pytest.mark.slow
@pytest.mark.parametrize(
    "preset",
    [
        *(pytest.param(preset, id=preset.name) for preset in LIGHT),
        pytest.param(replace(LIGHT[1], weights=CHALLENGE, shuffled_share=0.5), id="challenge"),
    ],
)
def test_a_head_finds_the_slices_that_show_the_fracture(
    encoder: SliceEncoder, preset: SharedEncoderPreset, tmp_path: Path
) -> None:
    """Features in which one value says it all; of every other fracture, its place is unknown."""
    small = replace(
        preset,
        arguments=preset.arguments | {"features": 8, "hidden": 4, "dropout": 0.0, "top_k": 2},
        batch=16,
        head_passes=45 if "spine" in preset.architecture else 15,
        head_rate=4e-2,
    )
    generator = torch.Generator().manual_seed(1)
    values = torch.rand(1, 64, 5, 8, generator=generator)
    slices = torch.zeros(64, 5)
    slices[0::2, 1:3] = 1.0
    values[0, :, :, 0] += 3 * slices
    known = torch.ones(64, 5)
    known[0::4] = 0
    slices[0::4] = 0
    network = untrained_classifier(small)
    network.encoder.load_state_dict(encoder.state_dict())
    features = _features(values, slices, known)
    trained = train_head(CPU.alone(), small, network, features, tmp_path)
    with torch.inference_mode():
        logits = _scores(trained, features)
    truth = features.truth
    assert float(logits[truth == 1].min()) > float(logits[truth == 0].max())
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(trained.encoder.state_dict()[name], tensor), name


def test_a_head_that_knows_nothing_says_how_rare_fractures_are(tmp_path: Path) -> None:
    values = torch.zeros(1, 32, 5, 8)
    slices = torch.tensor([1.0, 0.0]).repeat(16)[:, None].expand(-1, 5)
    weights = (TINY.weights, replace(CHALLENGE, patient_fractured=0.0, patient_whole=0.0))
    for number, weight in enumerate(weights):
        preset = replace(TINY, head_passes=8, head_rate=2e-2, weights=weight)
        network = train_head(
            CPU.alone(),
            preset,
            untrained_classifier(preset),
            _features(values, slices, torch.ones(32, 5)),
            tmp_path / str(number),
        )
        with torch.inference_mode():
            probability = network.score(values[0]).logit.sigmoid()
        assert float(probability.mean()) == pytest.approx(PREVALENCE, abs=0.04)


def test_a_head_needs_both_classes(tmp_path: Path) -> None:
    features = Features(
        torch.zeros(1, 4, 5, 8),
        torch.ones(4),
        torch.zeros(4, 5),
        torch.zeros(4, 5),
        torch.arange(4),
        torch.ones(4, dtype=torch.long),
        torch.full((4,), -1),
    )
    with pytest.raises(UsageError) as caught:
        train_head(CPU.alone(), TINY, untrained_classifier(TINY), features, tmp_path)
    assert caught.value.code == "one_class"
