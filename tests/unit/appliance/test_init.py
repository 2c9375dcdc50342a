"""``init`` makes a whole data directory or nothing."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from appliance import birth_record, cli, config, front_door_wiring, wiring
from appliance.data_directory import DataDirectory
from mailstore.errors import RefusedError, TamperedError, WrongKeyError

CLINIC = ["init", "--practice", "Lakeside Clinic", "--domain", "clinic.example", "--json"]


def init(path: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, dict[str, object]]:
    code = cli.main([*CLINIC, "--data", str(path), *more])
    return code, json.loads(capsys.readouterr().out)


def test_loopback_directory_opens_by_itself_and_says_its_ports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = init(tmp_path / "data", capsys, "--loopback", "21000")
    assert code == 0
    assert told["ports"] == {"smtp": 21025, "submission": 21587, "submissions": 21465, "portal": 21443}
    assert Path(str(told["ca_certificate"])).read_text("ascii").startswith("-----BEGIN CERTIFICATE-----")
    with wiring.Appliance.opened(DataDirectory(tmp_path / "data")) as appliance:
        assert appliance.settings.ports == told["ports"]
        assert appliance.settings.smtp.listen == "127.0.0.1"


def test_everything_in_it_is_for_its_owner_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init(tmp_path / "data", capsys)
    public = {"ca.pem", "server.pem"}
    for path in [tmp_path / "data", *(tmp_path / "data").rglob("*")]:
        if path.name not in public:
            assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


def test_directory_with_content_is_refused_and_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "letter.txt").write_text("mine", "utf-8")
    code, told = init(tmp_path, capsys)
    assert code == 1
    assert isinstance(told["error"], dict)
    assert told["error"].keys() == {"code", "message", "fix"}
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_second_init_is_refused_and_keeps_the_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init(tmp_path / "data", capsys)
    before = (tmp_path / "data" / "keys" / "keyring.json").read_bytes()
    assert init(tmp_path / "data", capsys)[0] == 1
    assert (tmp_path / "data" / "keys" / "keyring.json").read_bytes() == before


def test_failed_init_leaves_nothing_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _ = init(tmp_path / "data", capsys, "--passphrase-file", str(tmp_path / "absent"))
    assert code == 1
    assert list((tmp_path / "data").iterdir()) == []
    assert init(tmp_path / "data", capsys)[0] == 0


@pytest.mark.parametrize(
    "domain", ["clinic", "clinic..example", "-clinic.example", "clinic.example\n", "klinik.exämple"]
)
def test_name_that_is_no_domain_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], domain: str) -> None:
    code = cli.main(["init", "--practice", "X", f"--domain={domain}", "--data", str(tmp_path / "data"), "--json"])
    assert code == 1
    assert "--domain" in json.loads(capsys.readouterr().out)["error"]["message"]
    assert not (tmp_path / "data").exists()


def test_passphrase_is_needed_again_to_open(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    passphrase, other = tmp_path / "passphrase", tmp_path / "other"
    passphrase.write_text("correct horse battery staple\n", "utf-8")
    other.write_text("wrong horse\n", "utf-8")
    code, told = init(tmp_path / "data", capsys, "--passphrase-file", str(passphrase))
    assert (code, told["unlocks_by_itself"]) == (0, False)
    data = DataDirectory(tmp_path / "data")
    assert not data.unlock_key.exists()
    with wiring.Appliance.opened(data, passphrase_file=passphrase):
        pass
    with pytest.raises(WrongKeyError), wiring.Appliance.opened(data, passphrase_file=other):
        pass


def test_key_file_that_was_named_is_made_when_missing_kept_when_there_and_needed_ever_after(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "stick" / "unlock.key"
    key.parent.mkdir()
    for name in ("first", "second"):
        code, told = init(tmp_path / name, capsys, "--key-file", str(key))
        assert (code, told["unlocks_by_itself"]) == (0, False)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    for name in ("first", "second"):
        data = DataDirectory(tmp_path / name)
        assert not data.unlock_key.exists()
        with wiring.Appliance.opened(data, key_file=key):
            pass
    with pytest.raises(RefusedError), wiring.Appliance.opened(data):
        pass


def test_birth_record_cannot_be_edited_into_a_practice_ground(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    init(tmp_path / "data", capsys)
    data = DataDirectory(tmp_path / "data")
    told = json.loads(data.birth_record.read_text("utf-8"))
    data.birth_record.write_text(json.dumps({**told, "loopback_base": 21000}), "utf-8")
    text = data.settings.read_text("utf-8").replace("cooling_off_hours = 168", "cooling_off_hours = 0")
    data.settings.write_text(text, "utf-8")
    assert birth_record.unverified(data.birth_record).is_loopback
    with pytest.raises(TamperedError, match="is not what init wrote"), wiring.Appliance.opened(data):
        pass


def test_cooling_off_of_nothing_is_refused_in_a_real_practice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    init(tmp_path / "data", capsys)
    data = DataDirectory(tmp_path / "data")
    text = data.settings.read_text("utf-8").replace("cooling_off_hours = 168", "cooling_off_hours = 0")
    data.settings.write_text(text, "utf-8")
    with pytest.raises(config.SettingsError, match="only in a directory made with --loopback"):
        front_door_wiring.settings_of(data)


def test_real_practice_waits_for_its_first_run_and_one_for_trying_out_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, words, waits in (
        ("real", [], True),
        ("at a risk", ["--without-shares"], False),
        ("trying", ["--loopback", "21000"], False),
    ):
        assert init(tmp_path / name, capsys, *words)[0] == 0
        assert DataDirectory(tmp_path / name).first_run.exists() is waits
