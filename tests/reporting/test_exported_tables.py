import csv
import io

from tfcap.reporting.exported_tables import Bounded, Column, Interval, Reaching, Signed, Table, sort_key

TABLE = Table(
    "toy",
    "A toy",
    "",
    [Column("method"), Column("kept, %", 0), Column("10 %"), Column("words")],
    [
        ["gradient_norm & co", 1234.0, Interval(93.84, 81.9, 105.7, "*"), "a|b <i>"],
        ['say "x", y', None, None, "50 % {x} $1 #2 ~ ^ \\"],
    ],
)


def test_csv_reads_back_with_numbers_as_they_are():
    rows = list(csv.reader(io.StringIO(TABLE.csv())))
    assert rows[0] == ["method", "kept, %", "10 %", "words"]
    assert rows[1] == ["gradient_norm & co", "1234.0", "93.8 ± 11.9*", "a|b <i>"]
    assert rows[2][:3] == ['say "x", y', "", ""]


def test_latex_is_a_booktabs_table_with_its_signs_escaped():
    lines = TABLE.latex().splitlines()
    assert lines[0] == r"\begin{tabular}{lrrl}" and lines[-1] == r"\end{tabular}"
    assert [lines[place] for place in (1, 3, 6)] == [r"\toprule", r"\midrule", r"\bottomrule"]
    assert lines[2] == r"method & kept, \% & 10 \% & words \\"
    assert lines[4].startswith(
        r"gradient\_norm \& co & 1,234 & 93.8 $\pm$ 11.9* & a\textbar{}b \textless{}i\textgreater{}"
    )
    assert r"50 \% \{x\} \$1 \#2 \textasciitilde{} \textasciicircum{} \textbackslash{}" in lines[5]


def test_markdown_keeps_its_columns_whatever_a_cell_holds():
    lines = TABLE.markdown().splitlines()
    assert lines[1] == "| --- | ---: | ---: | --- |"
    assert lines[2] == r"| gradient\_norm & co | 1,234 | 93.8 ± 11.9\* | a\|b \<i\> |"
    assert all(line.replace(r"\|", "").count("|") == 5 for line in lines)


def test_an_interval_without_bounds_shows_its_value_and_sorts_by_it():
    interval = Interval(5.0, float("nan"), float("nan"))
    assert str(interval) == "5.0" and sort_key(interval) == "5.0"
    assert sort_key(None) == "" and sort_key("a") == "a" and sort_key(2) == "2"


def test_other_values_are_shown_as_what_they_are():
    cells = [Signed(1.25, 0.25, 2.25, " ▲"), Signed(-1.0, -3.0, 1.0), Bounded(124.4, 101.0, 150.0, " !")]
    assert list(map(str, cells)) == ["+1.2 ± 1.0 ▲", "-1.0 ± 2.0", "124 [101, 150] !"]
    assert TABLE.is_marked and not Table("t", "", "", [Column("a")], [["x"], [cells[1]]]).is_marked
    assert str(Bounded(50.0, float("nan"), float("nan"))) == "50"
    assert str(Reaching(10.0, 10.0, 30.0, least=10.0)) == "≤ 10 [≤ 10, 30]"
    table = Table("t", "", "", [Column("a"), Column("b"), Column("c")], [["x", cells[0], Reaching(9, 9, 9, least=9)]])
    assert r"x & +1.2 $\pm$ 1.0 $\bigtriangleup$ & $\leq$ 9 [$\leq$ 9, $\leq$ 9] \\" in table.latex()
