from pathlib import Path

import pytest

from offramp.config import GatewaySettings, Settings, load
from offramp.core.call import OutputType
from offramp.core.errors import BadSetting
from offramp.core.measure import Measure, Measures


def test_defaults_without_file_or_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(environ={}) == Settings()


def test_flag_beats_environment_beats_file(tmp_path: Path) -> None:
    file = tmp_path / "offramp.toml"
    file.write_text("[certify]\nalpha = 0.01\ndelta = 0.01\naudit_rate = 0.01\n")
    settings = load(
        file,
        {"OFFRAMP_CERTIFY_DELTA": "0.02", "OFFRAMP_CERTIFY_AUDIT_RATE": "0.02"},
        {"certify.audit_rate": 0.03, "certify.alpha": None},
    )
    assert (settings.certify.alpha, settings.certify.delta, settings.certify.audit_rate) == (0.01, 0.02, 0.03)


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"OFFRAMP_CERTIFY_ALPHA": "much"}, "certify.alpha is 'much'"),
        ({"OFFRAMP_CERTIFY_ALPHA": "1.5"}, "certify.alpha is 1.5"),
        ({"OFFRAMP_CERTIFY_BETA": "0.5"}, "Unknown setting 'certify.beta'"),
        ({"OFFRAMP_NOWHERE": "1"}, "Unknown setting 'nowhere'"),
        ({"OFFRAMP_GATEWAY_PORT": "70000"}, "gateway.port is 70000"),
        ({"OFFRAMP_RECORD_RECOGNISER": "magic:1"}, "record.recogniser is 'magic'"),
        ({"OFFRAMP_RECORD_ENABLED": "perhaps"}, "record.enabled is 'perhaps'"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(environ: dict[str, str], named: str) -> None:
    with pytest.raises(BadSetting, match=named):
        load(environ=environ)


@pytest.mark.parametrize(("word", "value"), [("yes", True), ("0", False), ("False", False), ("TRUE", True)])
def test_booleans_read_as_words(word: str, value: bool) -> None:
    assert load(environ={"OFFRAMP_RECORD_ENABLED": word}).record.enabled is value


def test_home_is_a_path_and_holds_everything() -> None:
    settings = load(environ={"OFFRAMP_HOME": "/srv/x"})
    assert settings.store_path == Path("/srv/x/offramp.db")
    assert settings.key_path.parent == settings.specialists_path.parent == Path("/srv/x")


def test_a_missing_or_broken_settings_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="does not exist"):
        load(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("= nothing")
    with pytest.raises(BadSetting, match="is not TOML"):
        load(tmp_path / "bad.toml")


def test_a_boolean_is_no_number(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text("[certify]\nalpha = true\n")
    with pytest.raises(BadSetting, match="is no float"):
        load(tmp_path / "s.toml", {})


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:99/v1", "http://localhost:99", "http://[::1]:99/v1", "http://gw:99"]
)
def test_the_gateway_knows_its_own_address(url: str) -> None:
    assert GatewaySettings(host="gw", port=99).is_own(url)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:98/v1", "http://other:99", "http://localhost:none", "gw", ""]
)
def test_other_addresses_are_not_its_own(url: str) -> None:
    assert not GatewaySettings(host="gw", port=99).is_own(url)


def test_measures_are_chosen_by_form_and_by_task(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    lines = ['tool_call = "tools-loose"', '"My agent v1.2" = "tools-in-order"', 't-1 = "text"']
    file.write_text("\n".join(["[measures]", *lines]))
    found = load(file, {"OFFRAMP_MEASURES_TEXT": "text"}).measures
    assert found == Measures(
        {OutputType.TOOL_CALL: Measure.TOOLS_LOOSE, OutputType.TEXT: Measure.TEXT},
        {"My agent v1.2": Measure.TOOLS_IN_ORDER, "t-1": Measure.TEXT},
    )


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ('home = "tool-loose"', r"measures.home is 'tool-loose'.*Allowed here: label, json, tools, "),
        ("home = 1", "measures.home is 1"),
        ("home = ['tools']", "measures.home is"),
        (
            'tool_call = "label"',
            "compares tool_call answers.*Allowed here: tools, tools-in-order",
        ),
        ('error = "text"', "compares error answers.*Allowed here: none"),
    ],
)
def test_a_measure_that_does_not_exist_or_fit_is_named_with_those_that_do(
    tmp_path: Path, line: str, named: str
) -> None:
    (tmp_path / "s.toml").write_text(f"[measures]\n{line}\n")
    with pytest.raises(BadSetting, match="(?s)" + named) as raised:
        load(tmp_path / "s.toml", {})
    assert raised.value.hint


def test_the_table_of_measures_is_a_table(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text('measures = "tools"\n')
    with pytest.raises(BadSetting, match="Unknown setting 'measures'"):
        load(tmp_path / "s.toml", {})


@pytest.mark.parametrize(
    ("lines", "environ", "overrides", "rises"),
    [
        ("", {}, {}, True),
        ("delta = 0.01", {}, {}, True),
        ("alpha = 0.05", {}, {}, False),
        ("", {"OFFRAMP_CERTIFY_ALPHA": "0.05"}, {}, False),
        ("", {}, {"certify.alpha": 0.05}, False),
        ("", {}, {"certify.alpha": None}, True),
        ("alpha = 0.05\nceiling = true", {}, {}, True),
        ("ceiling = false", {}, {}, False),
        ("alpha = 0.05", {"OFFRAMP_CERTIFY_CEILING": "yes"}, {}, True),
    ],
)
def test_alpha_may_rise_to_the_teachers_own_noise_unless_somebody_asked_for_an_alpha(
    tmp_path: Path, lines: str, environ: dict[str, str], overrides: dict[str, float | None], rises: bool
) -> None:
    """Asking for the default is asking as well."""
    (tmp_path / "s.toml").write_text(f"[certify]\n{lines}\n")
    assert load(tmp_path / "s.toml", environ, overrides).alpha_may_rise is rises


def test_what_was_given_is_known_and_is_no_setting(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text("[certify]\nalpha = 0.1\n")
    found = load(tmp_path / "s.toml", {"OFFRAMP_HOME": "/srv/x"}, {"train.base": "b", "train.kinds": None})
    assert found.given == {"certify.alpha", "home", "train.base"}
    with pytest.raises(BadSetting, match="Unknown setting 'given'"):
        load(environ={}, overrides={"given": "certify.alpha"})
