"""From a command line with lists to the command line of each cell."""

import pytest

from tfcap.errors import InputError
from tfcap.grid import cells_of, command_of, teachers_of


def _names(*arguments):
    return [cell.name for cell in cells_of(arguments)]


def test_every_combination_is_a_cell_and_the_seeds_are_outermost():
    names = _names("--seed=0,1", "--selector=random,loss", "--fraction=0.25,0.5")
    assert names[:4] == ["random-0.25-s0", "random-0.5-s0", "loss-0.25-s0", "loss-0.5-s0"]
    assert names[4:] == [name.replace("s0", "s1") for name in names[:4]]


def test_everything_kept_is_one_cell_a_seed_whatever_selects():
    cells = cells_of(["--selector=random,loss", "--fraction=0.5,1", "--seed=3,4", "--noise_cut=0.2", "--units=8"])
    full = [cell for cell in cells if cell.settings.selection.fraction == 1]
    assert [cell.name for cell in full] == ["full-s3", "full-s4"]
    assert full[0].axes == {"selector": "full", "fraction": "1", "seed": "3"}
    assert full[0].arguments == ("--fraction=1", "--seed=3", "--units=8")
    assert len(cells) == 6


def test_two_protocols_have_one_cell_of_all_the_data():
    names = _names("--budget_steps=false,true", "--fraction=0.5,1", "--seed=3,4")
    of_a_seed = ("equal_epochs-0.5", "full", "equal_steps-0.5")
    assert names == [f"{name}-s{seed}" for seed in (3, 4) for name in of_a_seed]


def test_a_cell_s_settings_are_those_of_its_command_line():
    (one, other) = cells_of(["--noexport", "--attention=true", "--dropout=0.1,0.2", "--mixture=loss:0.5,random:0.5"])
    assert (one.settings.model.dropout, other.settings.model.dropout) == (0.1, 0.2)
    assert one.settings.evaluation.export is False and one.settings.model.attention is True
    assert one.settings.selection.mixture == "loss:0.5,random:0.5"
    assert one.arguments == ("--export=false", "--attention=true", "--dropout=0.1", "--mixture=loss:0.5,random:0.5")


def test_flags_with_commas_of_their_own_are_listed_by_semicolons():
    assert _names("--selector=mixed", "--mixture=loss:1,random:1;el2n:1") == ["loss:1,random:1", "el2n:1"]


def test_lists_come_from_flagfiles_too_and_the_command_line_goes_before_them(tmp_path):
    (tmp_path / "grid.flags").write_text("# a grid\n--selector=random,loss\n--seed=0,1,2\n")
    assert _names(f"--flagfile={tmp_path / 'grid.flags'}", "--seed=7") == ["random", "loss"]


def test_what_only_selection_reads_makes_no_second_cell_of_all_the_data():
    assert _names("--selector=loss", "--proxy_epochs=1,2", "--fraction=0.5,1") == ["1-0.5", "full", "2-0.5"]


def test_the_fraction_is_known_where_it_is_no_list():
    assert [cell.axes["fraction"] for cell in cells_of(["--selector=random,loss", "--fraction=0.25"])] == ["0.25"] * 2
    assert [cell.axes["fraction"] for cell in cells_of(["--selector=random,loss"])] == ["0.75"] * 2


def test_places_may_have_commas():
    (cell,) = cells_of(["--source=/data/a,b", "--dataset=flickr8k"])
    assert cell.settings.data.source == "/data/a,b"


def test_one_cell_without_lists():
    assert _names("--selector=loss") == ["only"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fraction=0.5,2"], "--fraction is out of range.*2"),
        (["--fraction=0.5,0.50"], "are one experiment.*0.5 and 0.50"),
        (["--selector=random,best"], "Unknown selector.*'best'"),
        (["--epochs=1,many"], "--epochs.*many"),
        (["--fractoin=0.5"], "fractoin"),
        (["random"], "Arguments must be flags.*random"),
        (["--flagfile=absent.flags"], "flagfile cannot be read.*absent.flags"),
    ],
)
def test_mistakes_are_one_line(arguments, words):
    with pytest.raises(InputError, match=words) as caught:
        cells_of(arguments)
    assert "\n" not in str(caught.value)


def test_the_cells_of_a_seed_share_the_one_cell_of_all_the_data_as_their_teacher():
    lists = ["--selector=random,loss", "--dropout=0.3,0.1", "--fraction=0.5,1", "--seed=0,1"]
    cells = cells_of([*lists, "--teacher=full"])
    teachers = {name: cell.name for name, cell in teachers_of(cells).items()}
    parts = [f"{selector}-{rate}-0.5" for selector in ("random", "loss") for rate in ("0.3", "0.1")]
    assert teachers == {f"{name}-s{seed}": f"full-0.3-s{seed}" for name in parts for seed in (0, 1)}
    assert all("--teacher=full" in cell.arguments for cell in cells if cell.name in teachers)
    assert [cell.name for cell in cells if cell.name not in teachers] == ["full-0.3-s0", "full-0.3-s1"]
    assert not any("--teacher=full" in cell.arguments for cell in cells if cell.name not in teachers)
    assert teachers_of(cells_of([*lists, "--teacher=runs/full"])) == teachers_of(cells_of(lists)) == {}


def test_a_grid_whose_teacher_is_none_of_it_is_refused():
    words = "has none. Received: --fraction=0.25,0.5. Expected: 1 among them, or a run's folder as --teacher"
    with pytest.raises(InputError, match=words):
        teachers_of(cells_of(["--fraction=0.25,0.5", "--seed=0,1", "--teacher=full"]))


def test_the_command_of_a_grid_s_cells_gives_them_again():
    asked = ["--mixture=loss:1,random:1;el2n:1", "--selector=mixed,random", "--fraction=0.5,1", "--seed=0,1"]
    cells = {frozenset(cell.arguments) for cell in cells_of(asked)}
    again = cells_of(command_of([sorted(arguments) for arguments in sorted(cells, key=sorted)]))
    assert {frozenset(cell.arguments) for cell in again} == cells
    assert command_of([["--seed=0", "--units=8"], ["--seed=1", "--units=8"]]) == ["--seed=0,1", "--units=8"]
