"""Names, places, durations, and the file that remembers a cluster."""
from __future__ import annotations

import os
import stat
from dataclasses import asdict, replace
from pathlib import Path

import orjson
import pytest

from tiffin.cluster.config import STATE_VERSION, ServerConfig
from tiffin.cluster.durations import parse_duration
from tiffin.cluster.layout import BadClusterName, Layout
from tiffin.cluster.state import ClusterState, DamagedState, NewerState, load_state, save_state, write_atomically

STATE = ClusterState(name="a", port=6443, nodes=(1, 3), simulated=1, store="sqlite", node_network="10.199.0.0/24", stopped=(3,))


def test_state_comes_back(tmp_path: Path) -> None:
    file = tmp_path / "cluster.json"
    assert load_state(file) is None
    save_state(file, STATE)
    assert load_state(file) == STATE


def test_an_older_state_is_read_as_what_it_meant(tmp_path: Path) -> None:
    file = tmp_path / "cluster.json"
    file.write_bytes(orjson.dumps({"name": "a", "port": 6443, "nodes": 3, "simulated": 0, "store": "sqlite", "pod_cidr": "10.244.0.0/16", "version": 1}))
    state = load_state(file)
    assert state == ClusterState(name="a", port=6443, nodes=(1, 2, 3), simulated=0, store="sqlite")


@pytest.mark.parametrize(
    "nodes, stopped, count, expected",
    [
        ((1,), (), 3, ((1, 2, 3), ())),
        ((1, 3), (), 3, ((1, 2, 3), ())),
        ((1, 3), (3,), 4, ((1, 2, 3, 4), (3,))),
        ((1, 3, 4), (4,), 2, ((1, 3), ())),
        ((2, 5), (), 0, ((), ())),
        ((), (), 2, ((1, 2), ())),
        ((2, 5), (2,), 2, ((2, 5), (2,))),
    ],
)
def test_as_many_nodes(nodes: tuple[int, ...], stopped: tuple[int, ...], count: int, expected: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    state = replace(STATE, nodes=nodes, stopped=stopped).with_count(count)
    assert (state.nodes, state.stopped) == expected
    assert set(state.running) == set(state.nodes) - set(state.stopped)


def test_newer_state_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "cluster.json"
    file.write_bytes(orjson.dumps({**asdict(STATE), "version": STATE_VERSION + 1, "unheard-of": True}))
    with pytest.raises(NewerState, match=f"version {STATE_VERSION + 1}"):
        load_state(file)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"version": "x"}', '{"version": 1, "odd": 2}', '{"version": null}'])
def test_damaged_state_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "cluster.json"
    file.write_text(content)
    with pytest.raises(DamagedState, match=r"cluster\.json"):
        load_state(file)


def test_files_are_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "f"
    write_atomically(file, b"one", mode=0o600)
    with open(file) as reader:
        write_atomically(file, b"two", mode=0o600)
        assert (reader.read(), file.read_bytes()) == ("one", b"two")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("name", ["a", "tiffin", "a-1", "9", "x" * 40])
def test_cluster_names(name: str, tmp_path: Path) -> None:
    layout = Layout(name, tmp_path / name)
    assert len(layout.bridge) <= 15 and len(layout.node(200).veth) <= 15
    assert layout.context == ("tiffin" if name == "tiffin" else f"tiffin-{name}")


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", "a.b", "../a", "a/b", "a b", "x" * 41, "a\n"])
def test_bad_cluster_names(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadClusterName, match="is no cluster name"):
        Layout(name, tmp_path)


def test_a_cluster_elsewhere_is_found_by_its_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiffin.cluster.layout.default_root", lambda: tmp_path / "root")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a").symlink_to(elsewhere)
    assert Layout.find("a") == Layout.find("a", elsewhere)
    assert Layout.find("b").data_dir == tmp_path / "root" / "b"


@pytest.mark.parametrize("text, seconds", [("0", 0), ("60s", 60), ("1m30s", 90), ("500ms", 0.5), ("1.5h", 5400), ("2m", 120)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "s", "5d", "-1s", "1s2", "1 s", "1e3s"])
def test_bad_durations(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    "addresses, advertised",
    [(("127.0.0.1",), "127.0.0.1"), (("127.0.0.1", "10.199.0.1"), "10.199.0.1"), (("0.0.0.0", "10.0.0.1"), "10.0.0.1"), (("::1", "127.0.0.2"), "::1")],
)
def test_what_the_server_advertises(addresses: tuple[str, ...], advertised: str, tmp_path: Path) -> None:
    config = ServerConfig(tmp_path, bind_addresses=addresses)
    assert config.advertise_address == advertised
    assert (config.pki_dir, config.admin_token_file) == (tmp_path / "pki", tmp_path / "admin.token")


@pytest.mark.parametrize(("nodes", "listen", "said", "allowed"), [
    ((), (), None, True), ((1,), (), None, False), ((), ("192.0.2.1",), None, False), ((1,), (), True, True), ((), (), False, False),
])
def test_external_ips_are_allowed_by_default_only_where_nothing_carries_traffic(nodes: tuple[int, ...], listen: tuple[str, ...], said: bool | None, allowed: bool) -> None:
    state = ClusterState(name="c", port=1, nodes=nodes, simulated=0, store="memory", listen=listen, allow_external_ips=said)
    assert state.external_ips_allowed is allowed


def test_a_file_is_never_written_through_what_others_put_there(tmp_path: Path) -> None:
    """The name of the temporary file can be guessed; in a directory like /tmp somebody may be there first."""
    victim = tmp_path / "victim"
    victim.write_text("theirs")
    (tmp_path / f".config.{os.getpid()}").symlink_to(victim)
    write_atomically(tmp_path / "config", b"secret", mode=0o600)
    assert victim.read_text() == "theirs"
    assert (tmp_path / "config").read_bytes() == b"secret" and (tmp_path / "config").stat().st_mode & 0o777 == 0o600
