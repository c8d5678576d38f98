from pathlib import Path

import pytest
from bench.gateway.environments import Environment
from bench.gateway.peers.catalog import LiteLLM, Nginx, Offramp, Peer, Site, TensorZero, announced, catalog

SITE = Site(upstream=4001, port=4002, folder=Path("unused"))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(upstream=4001, port=4002, folder=tmp_path)


def test_all_gateways_have_their_own_name(tmp_path: Path) -> None:
    names = [one.name for one in catalog(tmp_path / "offramp", tmp_path)]
    assert names[0] == "direct"
    assert len(set(names)) == len(names) == 8


def test_the_direct_way_starts_nothing(site: Site) -> None:
    assert Peer().launch(site) is None


def test_a_missing_peer_says_so_instead_of_failing(tmp_path: Path) -> None:
    assert "not installed" in LiteLLM(tmp_path).problem()
    assert "not installed" in Offramp(tmp_path / "nothing").problem()


@pytest.mark.parametrize("name", ["litellm", "tensorzero", "vllm-router", "sglang-router"])
def test_every_environment_is_pinned(name: str, tmp_path: Path) -> None:
    requirements = Environment(name, tmp_path).requirements.read_text()
    lines = [line for line in requirements.splitlines() if line and not line.startswith("#")]
    assert lines
    assert all("==" in line for line in lines)


def test_configurations_are_filled_in(site: Site) -> None:
    Nginx().launch(site)
    LiteLLM(site.folder).launch(site)
    TensorZero(site.folder).launch(site)
    for name in ("nginx.conf", "litellm.yaml", "tensorzero.toml"):
        text = (site.folder / name).read_text()
        assert "4001" in text
        assert "$" not in text


def test_recording_is_switched_off_by_the_commands_own_flag(site: Site) -> None:
    launch = Offramp(Path("offramp")).launch(site)
    assert launch.argv[-1] == "--no-record"
    assert launch.argv[:2] == ["offramp", "--home"]


def test_an_address_is_read_from_whatever_else_is_said() -> None:
    assert announced('warming up\n{"url": "http://127.0.0.1:9", "upstream": "u"}\n') == "http://127.0.0.1:9"
    assert announced('{"url": "http://127') is None
