import pytest

from sklearn_hierret._files import remove_unfinished, written_whole


def test_a_file_has_its_name_when_it_is_complete(tmp_path):
    target = tmp_path / "deep" / "file.txt"
    with written_whole(target) as part:
        part.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert [path.name for path in target.parent.iterdir()] == ["file.txt"]


def test_what_was_there_stays_if_writing_fails(tmp_path):
    target = tmp_path / "file.txt"
    target.write_text("old")
    target.chmod(0o640)

    def fail():
        with written_whole(target) as part:
            part.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert target.read_text() == "old"
    with written_whole(target) as part:
        part.write_text("new")
    assert (target.read_text(), target.stat().st_mode & 0o777) == ("new", 0o640)
    assert list(tmp_path.iterdir()) == [target]


def test_folders_are_replaced_as_a_whole_and_never_by_a_file(tmp_path):
    target = tmp_path / "folder"
    for names in ({"a", "b"}, {"c"}):
        with written_whole(target) as part:
            part.mkdir()
            for name in names:
                (part / name).touch()
        assert {path.name for path in target.iterdir()} == names
    with pytest.raises(IsADirectoryError, match="is a folder"), written_whole(target) as part:
        part.touch()
    assert {path.name for path in target.iterdir()} == {"c"}


def test_links_are_followed(tmp_path):
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("old")
    link.symlink_to(real)
    with written_whole(link) as part:
        part.write_text("new")
    assert link.is_symlink()
    assert real.read_text() == "new"


def test_what_another_run_is_writing_stays(tmp_path):
    with written_whole(tmp_path / "steps" / "one.txt") as part:
        part.write_text("half")
        killed = part.parent.with_name(".part-999999999-abc")  # no process has this number
        killed.mkdir()
        remove_unfinished(tmp_path)
        assert not killed.exists()
        part.write_text("whole")
    assert (tmp_path / "steps" / "one.txt").read_text() == "whole"


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"file can't be written to"), written_whole(tmp_path / "file" / "x"):
        pass


def test_what_a_killed_process_left_is_removed(tmp_path):
    (tmp_path / "deep" / ".part-xyz").mkdir(parents=True)
    (tmp_path / "kept").touch()
    remove_unfinished(tmp_path)
    assert {path.name for path in tmp_path.rglob("*")} == {"deep", "kept"}
