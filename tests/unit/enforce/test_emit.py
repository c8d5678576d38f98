from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.enforce.world import CUT, LLM, SHARED, SMALL, TINY

from offramp.core.errors import BadInput
from offramp.core.placement import PlacedDevice, Placement, Slice
from offramp.enforce import NAMES, Options, backend_of
from offramp.enforce.catalogue import LOCAL, local_backend
from offramp.enforce.engines import command_line, ports
from offramp.enforce.files import write_emission
from offramp.enforce.local import Cores
from offramp.enforce.mig import read_uuids
from offramp.enforce.mps import groups
from offramp.enforce.port import Command, Emission
from offramp.enforce.render import documents, to_yaml

ROOT = Path(__file__).parents[3]
EMITTED = ROOT / "examples/enforce"
FLAGS = (Path(__file__).parent / "data/vllm-0.32.0-flags.txt").read_text().split()
CASES = {
    "plain": SHARED,
    "mps": SHARED,
    "mig": CUT,
    "hami": SHARED,
    "k8s-device-plugin": SHARED,
    "k8s-hami": SHARED,
    "k8s-dra": SHARED,
    "kai": SHARED,
    "ray": SHARED,
}
OPTIONS = Options(models_claim="models", lora_path="s3://bucket/adapters")
KUBERNETES = [name for name in CASES if name.startswith("k8s") or name == "kai"]


def loaded(emission: Emission, name: str) -> list[Any]:
    text = next(file.text for file in emission.files if file.path == name)
    return list(yaml.safe_load_all(text))


def environment(emission: Emission, engine: str) -> dict[str, str]:
    return dict(next(one.environment for one in emission.engines if one.name == engine))


@pytest.mark.parametrize("name", CASES)
def test_what_is_emitted_is_what_the_examples_show(name: str, tmp_path: Path) -> None:
    written = write_emission(backend_of(name).emit(CASES[name], OPTIONS), tmp_path)
    shown = EMITTED / name
    assert sorted(path.name for path in written) == sorted(path.name for path in shown.iterdir())
    for path in written:
        assert path.read_text() == (shown / path.name).read_text(), path.name


@pytest.mark.parametrize("name", KUBERNETES)
@pytest.mark.parametrize("placement", [SHARED, CUT], ids=["shared", "cut"])
def test_manifests_keep_to_the_schemas_that_kubernetes_publishes(name: str, placement: Placement) -> None:
    emission = backend_of(name).emit(placement, replace(OPTIONS, pin_nodes=True))
    checked = 0
    for file in emission.files:
        for value in yaml.safe_load_all(file.text):
            if "kind" in value and value["kind"] != "Queue":
                kubernetes_validate.validate(value, "1.37", strict=True)
                checked += 1
    assert checked >= 2 * len(placement.engines)


@pytest.mark.parametrize("engine", [SMALL, TINY, LLM], ids=lambda one: one.name)
def test_every_flag_is_one_that_vllm_lists(engine: Any) -> None:
    flags = [word for word in command_line(engine, Options(), port=8000) if word.startswith("--")]
    assert len(flags) >= 6
    assert set(flags) <= set(FLAGS)


def test_adapters_become_modules_and_slots_are_padded() -> None:
    words = list(command_line(SMALL, Options(), port=8001))
    assert words[words.index("--max-loras") + 1] == "2"
    assert words[words.index("--max-lora-rank") + 1] == "16"
    assert words[words.index("--max-cpu-loras") + 1] == "4"
    modules = [json.loads(word) for word in words[words.index("--lora-modules") + 1 :]]
    assert [one["name"] for one in modules] == ["intent-v1", "sql-v2", "tools-v1"]
    assert {one["base_model_name"] for one in modules} == {"qwen3-4b.0"}


def test_an_adapter_without_a_directory_is_refused() -> None:
    nowhere = replace(SMALL, adapters=(replace(SMALL.adapters[0], path=""),))
    with pytest.raises(BadInput, match=r"'intent-v1' of engine 'qwen3-4b.0' has no directory"):
        command_line(nowhere, Options(), port=1)
    words = command_line(nowhere, Options(adapters="/adapters/"), port=1)
    assert json.loads(words[-1])["path"] == "/adapters/intent-v1"


def test_sglang_counts_its_budget_in_tokens() -> None:
    named = Options(engine="sglang", kv_bytes_per_token=((SMALL.base, 1 << 20),))
    words = list(command_line(SMALL, named, port=8001))
    assert words[words.index("--max-total-tokens") + 1] == str(6 * 1024)
    assert words[words.index("--max-loras-per-batch") + 1] == "2"
    unknown = list(command_line(LLM, Options(engine="sglang"), port=8001))
    assert unknown[unknown.index("--max-total-tokens") + 1] == str(8 * 32768)
    assert unknown[unknown.index("--tensor-parallel-size") + 1] == "2"
    manifest = loaded(backend_of("k8s-hami").emit(SHARED, Options(engine="sglang")), "engines.yaml")[0]
    assert manifest["spec"]["template"]["spec"]["containers"][0]["image"].startswith("lmsysorg/sglang")


def test_an_unknown_engine_or_backend_is_refused() -> None:
    with pytest.raises(BadInput, match="'tgi' is not known; allowed are vllm, sglang"):
        command_line(SMALL, Options(engine="tgi"), port=1)
    with pytest.raises(BadInput, match="no backend 'slurm'"):
        backend_of("slurm")
    with pytest.raises(BadInput, match="'k8s-dra' does not start engines on this host"):
        local_backend("k8s-dra")


def test_ports_keep_to_what_is_given_and_differ_on_one_host() -> None:
    given = ports(SHARED, Options(ports=(("gemma-1b.0", 8500),)))
    assert given["gemma-1b.0"] == 8500
    assert len(set(given.values())) == 3
    with pytest.raises(BadInput, match="No port from 65535 on"):
        ports(SHARED, Options(first_port=65_535))


def test_ports_are_counted_per_host() -> None:
    two = Placement(
        (PlacedDevice("l4"), PlacedDevice("l4", "node-1")),
        (TINY, replace(TINY, name="b", slices=(Slice(1),))),
    )
    assert set(ports(two, Options()).values()) == {8500}
    emission = backend_of("plain").emit(two, Options())
    assert [file.path for file in emission.files] == ["node-0.sh", "node-1.sh"]
    assert [dict(one.environment)["CUDA_VISIBLE_DEVICES"] for one in emission.engines] == ["0", "0"]


def test_tensor_parallelism_stays_inside_a_host() -> None:
    across = Placement(
        (PlacedDevice("l4"), PlacedDevice("l4", "node-1")), (replace(LLM, slices=(Slice(0), Slice(1))),)
    )
    with pytest.raises(BadInput, match="devices of node-0, node-1"):
        backend_of("plain").emit(across, Options())


def test_mps_gives_shares_and_memory_to_those_that_share_and_nothing_to_those_alone() -> None:
    emission = backend_of("mps").emit(SHARED, Options())
    small, llm = environment(emission, "qwen3-4b.0"), environment(emission, "llama-70b.0")
    assert small["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] == "40"
    assert small["CUDA_MPS_PINNED_DEVICE_MEM_LIMIT"] == f"0={16 * 1024 + 512}M"
    assert small["CUDA_VISIBLE_DEVICES"] == "0"
    assert llm["CUDA_VISIBLE_DEVICES"] == "1,2"
    assert not any(name.startswith("CUDA_MPS") for name in llm)
    assert [command.argv[0] for command in emission.before] == ["mkdir", "nvidia-cuda-mps-control"]


def test_mps_has_one_daemon_for_devices_that_an_engine_spans() -> None:
    spanning = replace(LLM, slices=(Slice(1, 0.5), Slice(2, 0.5)))
    beside = replace(TINY, name="beside", slices=(Slice(2, 0.5),))
    placement = replace(SHARED, engines=(SMALL, spanning, beside))
    assert groups(placement) == ((1, 2),)
    emission = backend_of("mps").emit(placement, Options())
    assert environment(emission, "beside")["CUDA_VISIBLE_DEVICES"] == "1"
    assert environment(emission, "llama-70b.0")["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert emission.after == (
        Command(
            ("nvidia-cuda-mps-control",),
            (
                ("CUDA_MPS_PIPE_DIRECTORY", "/tmp/offramp-mps/gpu1-2/pipe"),
                ("CUDA_MPS_LOG_DIRECTORY", "/tmp/offramp-mps/gpu1-2/log"),
            ),
            "quit\n",
        ),
    )


LISTING = """GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-5fc0b1e2)
  MIG 3g.40gb     Device  0: (UUID: MIG-aaa)
  MIG 2g.20gb     Device  1: (UUID: MIG-bbb)
  MIG 2g.20gb     Device  2: (UUID: MIG-ccc)
GPU 1: NVIDIA H200 (UUID: GPU-77)
"""


def test_mig_engines_see_the_instance_that_nvidia_smi_lists() -> None:
    known = read_uuids(LISTING)
    assert known == ((0, "3g.40gb", "MIG-aaa"), (0, "2g.20gb", "MIG-bbb"), (0, "2g.20gb", "MIG-ccc"))
    emission = backend_of("mig").emit(CUT, Options(mig_uuids=known))
    seen = {one.name: dict(one.environment)["CUDA_VISIBLE_DEVICES"] for one in emission.engines}
    assert seen == {
        "qwen3-4b.0": "MIG-aaa",
        "gemma-1b.0": "MIG-bbb",
        "gemma-1b.1": "MIG-ccc",
        "llama-70b.0": "1,2",
    }
    with pytest.raises(BadInput, match=r"has 1 instances of 2g.20gb, the placement wants 2"):
        backend_of("mig").emit(CUT, Options(mig_uuids=known[:2]))


def test_mig_refuses_what_has_no_instance() -> None:
    with pytest.raises(BadInput, match="shares a device that is not cut"):
        backend_of("mig").emit(SHARED, Options())
    beyond = replace(CUT, engines=(replace(TINY, slices=(Slice(0, 0.2, 7),)),))
    for name in ("mig", "k8s-device-plugin", "k8s-dra"):
        with pytest.raises(BadInput, match=r"wants instance 7 of a device cut into 3g.40gb"):
            backend_of(name).emit(beyond, Options())


def test_parts_of_several_devices_are_refused_where_a_backend_cannot_share_them() -> None:
    both = replace(LLM, slices=(Slice(0, 0.4), Slice(1, 0.4)))
    placement = replace(SHARED, engines=(TINY, both))
    for name in ("k8s-device-plugin", "k8s-dra"):
        with pytest.raises(BadInput, match="has parts of 2 devices"):
            backend_of(name).emit(placement, Options())
    kai = loaded(backend_of("kai").emit(placement, Options()), "engines.yaml")
    annotations = kai[2]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["gpu-fraction-num-devices"] == "2"


def test_the_device_plugin_cuts_equal_parts() -> None:
    emission = backend_of("k8s-device-plugin").emit(SHARED, Options())
    sharing = loaded(emission, "device-plugin-config.yaml")[0]["sharing"]
    assert sharing["mps"]["resources"] == [{"name": "nvidia.com/gpu", "replicas": 2}]
    limits = [
        one["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
        for one in loaded(emission, "engines.yaml")
        if one["kind"] == "Deployment"
    ]
    assert limits == [{"nvidia.com/gpu.shared": "1"}, {"nvidia.com/gpu.shared": "1"}, {"nvidia.com/gpu": "2"}]


def test_ray_counts_replicas_and_wants_to_know_where_adapters_lie() -> None:
    twice = replace(SHARED, engines=(TINY, replace(TINY, name="gemma-1b.1", slices=(Slice(1, 0.2),))))
    config = loaded(backend_of("ray").emit(twice, OPTIONS), "serve-config.yaml")[0]
    models = config["applications"][0]["args"]["llm_configs"]
    assert [one["deployment_config"]["num_replicas"] for one in models] == [2]
    with pytest.raises(BadInput, match="needs the folder or bucket"):
        backend_of("ray").emit(SHARED, Options())
    with pytest.raises(BadInput, match="replicas by their names, but differ"):
        backend_of("ray").emit(replace(twice, engines=(TINY, replace(twice.engines[1], slots=1))), OPTIONS)
    with pytest.raises(BadInput, match="runs vLLM, not 'sglang'"):
        backend_of("ray").emit(SHARED, Options(engine="sglang"))


def test_cores_are_given_in_turn_and_never_twice() -> None:
    backend = Cores((0, 1, 2, 3))
    half = Placement(
        (PlacedDevice("cpu-laptop"),),
        (
            replace(TINY, slices=(Slice(0, 0.5),)),
            replace(TINY, name="b", slices=(Slice(0, 0.25),)),
            replace(TINY, name="c", slices=(Slice(0, 0.25),)),
        ),
    )
    parts = [backend.confine(half, engine, Options()).prefix[-1] for engine in half.engines]
    assert parts == ["0,1", "2", "3"]
    flags = backend.emit(half, Options()).engines[0].argv
    assert "--enable-sleep-mode" not in flags
    over = replace(half, engines=(*half.engines, replace(TINY, name="d", slices=(Slice(0, 0.1),))))
    with pytest.raises(BadInput, match="there are 4"):
        backend.emit(over, Options())


@pytest.mark.parametrize("name", NAMES)
def test_every_backend_says_what_it_guarantees(name: str) -> None:
    levels = backend_of(name).capabilities().to_dict()
    assert set(levels) == {"memory", "compute", "bandwidth", "faults", "live_resize"}
    assert set(levels.values()) <= {"hard", "soft", "none"}
    assert backend_of(name).name == name
    assert (name in LOCAL) == hasattr(backend_of(name), "confine")


_texts = st.text(max_size=20)
_scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _texts
)
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=12,
)


@given(_values)
def test_yaml_gives_back_what_was_rendered(value: Any) -> None:
    assert yaml.safe_load(to_yaml(value)) == value


def test_documents_are_parted_and_blocks_are_readable() -> None:
    text = documents([{"script": "a\nb\n"}, {"on": "yes"}])
    assert "script: |\n  a\n  b\n" in text
    assert list(yaml.safe_load_all(text)) == [{"script": "a\nb\n"}, {"on": "yes"}]


def test_a_command_is_quoted_for_the_shell() -> None:
    assert Command(("echo", "a b"), (("X", "1 2"),), "quit\n").shell() == (
        "printf %s 'quit\n' | X='1 2' echo 'a b'"
    )
