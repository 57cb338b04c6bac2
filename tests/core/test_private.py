"""What prelabel keeps is for its user alone, whatever library writes it; what a user asked for is as the umask says."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

UMASKS = [("everybody may read", 0o022), ("the group may write", 0o002), ("nobody else", 0o077)]
KEEP = (
    "import sys; from pathlib import Path; from backend.core.disk import hand_over, keep_private, users_folder; "
    "keep_private(); folder = Path(sys.argv[1]); "
)


def run(code: str, folder: Path, umask: int) -> None:
    subprocess.run([sys.executable, "-c", KEEP + code, str(folder)], umask=umask, check=True, cwd=Path.cwd())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [row[1] for row in UMASKS], ids=[row[0] for row in UMASKS])
def test_what_is_kept_is_private_and_what_was_asked_for_is_as_the_umask_says(umask: int, tmp_path: Path) -> None:
    run(
        "(folder / 'kept').mkdir(); (folder / 'kept/a').write_text('a'); "
        "asked = users_folder(folder / 'new/asked'); (asked / 'b').write_text('b'); hand_over(asked)",
        tmp_path,
        umask,
    )
    assert (mode(tmp_path / "kept"), mode(tmp_path / "kept" / "a")) == (0o700, 0o600)
    assert {mode(tmp_path / "new"), mode(tmp_path / "new" / "asked")} == {0o777 & ~umask}
    assert mode(tmp_path / "new" / "asked" / "b") == 0o666 & ~umask


def test_what_a_link_leads_to_keeps_its_rights(tmp_path: Path) -> None:
    others, asked = tmp_path / "others", tmp_path / "asked"
    others.write_text("not ours")
    others.chmod(0o640)
    asked.mkdir()
    (asked / "link").symlink_to(others)
    run("hand_over(folder)", asked, 0o022)
    assert mode(others) == 0o640


def test_a_command_leaves_a_file_that_was_asked_for_to_the_umask(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("a\nb\n")
    command = [sys.executable, "-m", "backend.cli", "label-config", "--labels", str(tmp_path / "labels.txt"), "--out"]
    subprocess.run(
        [*command, str(tmp_path / "a.xml")], umask=0o022, check=True, env={**os.environ}, capture_output=True
    )
    assert mode(tmp_path / "a.xml") == 0o644
