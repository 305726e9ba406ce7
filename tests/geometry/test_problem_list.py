"""Lists of problems: what each line gives, how options hold, what is skipped with a word, and what is wrong."""

from itertools import count, islice

import pytest

from convgrad_cli.errors import SourceError
from convgrad_cli.geometry.languages import read_layer
from convgrad_cli.geometry.layer_text import DIRECTIONS
from convgrad_cli.geometry.problem_list import DEEPEST, Listed, Remark, read_problems

ONE, TWO, THREE = "ic1oc1iw3kw2", "ic2oc2iw3kw2", "ic3oc3iw3kw2"
RAN = "dnnl_verbose,exec,cpu,convolution,ref,backward_data,src_f32: bia_undef:,,mb2_ic4oc6_ih5kh3ph1_iw7kw3pw1,1"


def read(text, batches=None, **more):
    """All that the list says; `batches` holds the lists that it may name."""

    def open_batch(name):
        if name not in (batches or {}):
            raise FileNotFoundError(2, "No such file or directory", name)
        return batches[name].splitlines()

    return list(read_problems(text.splitlines(), "list", open_batch, **more))


def problems(found):
    assert not [one for one in found if isinstance(one, Remark)], found
    return found


def told(found):
    return [(str(one), one.wrong) for one in found if isinstance(one, Remark)]


def test_a_problem_says_where_it_stands_and_how_to_have_it_again():
    (found,) = problems(read('\n# one\n--dir=BWD_WB --dt=f16 mb2ic16ih8oc32kh3n"a"\n'))
    assert (found.name, found.dtype, found.directions) == ("a", "float16", ("grad_weight", "grad_bias"))
    assert (found.source, found.line) == ("list", 3)
    assert found.text == '--dir=BWD_WB --dt=f16 mb2ic16ih8oc32kh3n"a"'
    assert found.spec.in_channels == 16
    assert found.spec.bias


LIST = f"""
# every notation, one after another
{ONE} {TWO}   # two on a line
    conv -n 2 -c 4 -H 5 -W 7 -k 6 # of MIOpen
./bin/MIOpenDriver convfp16 -n 2 -c 4 -H 5 -W 7 -k 6 -F 2
Conv2d(1, 2, kernel_size=(2, 2))
(stem): ConvTranspose1d(1, 2, 3)
{{"layer": "Conv2d(1, 1, 3)", "input_size": 5, "name": "a # b"}}
{RAN}
"""


def test_every_notation_may_stand_in_a_list():
    found = problems(read(LIST))
    assert [one.line for one in found] == [3, 3, 4, 5, 6, 7, 8, 9]
    assert [one.name for one in found[:2]] == [ONE, TWO]
    assert found[6].name == "a # b"
    assert [one.spec.layer_text().partition("(")[0] for one in found] == [
        "Conv1d", "Conv1d", "Conv2d", "Conv2d", "Conv2d", "ConvTranspose1d", "Conv2d", "Conv2d",
    ]  # fmt: skip
    assert [one.dtype for one in found] == [None, None, None, "float16", None, None, None, "float32"]
    assert found[3].directions == found[7].directions == ("grad_input",)
    for one in found:
        again = read_layer(one.text)
        assert (again.spec, again.dtype, again.directions) == (one.spec, one.dtype, one.directions)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # An option holds from where it stands.
        (f"{ONE} --mb=5 {TWO}\n{THREE}", [f"{ONE}", f"--mb=5 {TWO}", f"--mb=5 {THREE}"]),
        (f"--mb=5\n--mb= \n{ONE}", [ONE]),
        (f"--mb=5 --dir=FWD_D --dt=bf16 --reset {ONE}", [ONE]),
        (f"--dir=FWD_D,BWD_D {ONE}", [f"--dir=FWD_D,BWD_D {ONE}"]),
        # Types and batch sizes are problems of their own.
        (
            f"--dt=f32,f16 --mb=1,2 {ONE}",
            [f"--dt={dt} --mb={mb} {ONE}" for dt in ("f32", "f16") for mb in (1, 2)],
        ),
        (f"--deconv {ONE} --conv {TWO}", [f"deconv:{ONE}", TWO]),
        (f"deconv:{ONE} {TWO}", [f"deconv:{ONE}", TWO]),
        # Continued lines: benchdnn's are glued, those of a shell are not.
        (f"--dt=f32, \\\n# between\n\n  f16\n{ONE}", [f"--dt=f32 {ONE}", f"--dt=f16 {ONE}"]),
        ("ic1oc1\\\niw3 \\\nkw2", [ONE]),
        ("conv -n 2 -c 4 \\\n -H 5 -W 7 \\\n-k 6", ["conv -n 2 -c 4 -H 5 -W 7 -k 6"]),
        (f"{ONE} \\", [ONE]),
        ("# nothing\n\n   \n#", []),
        (f"{ONE}#not_a_comment".replace("#", "n#"), [f"{ONE}n#not_a_comment"]),
    ],
)
def test_a_list_is_read_as_benchdnn_reads_it(text, expected):
    assert [one.text for one in problems(read(text))] == expected


def test_a_list_may_be_of_the_deconv_driver():
    (found,) = problems(read(f"--reset {ONE}", transposed=True))
    assert (found.text, found.spec.transposed) == (f"deconv:{ONE}", True)


def test_lists_within_lists_share_their_options_as_in_benchdnn():
    batches = {"inner": f"{TWO}\n--dir=BWD_D\n--batch=deeper\n", "deeper": THREE}
    found = problems(read(f"--mb=3\n--batch=inner\n{ONE}", batches))
    assert [one.text for one in found] == [f"--mb=3 {TWO}", f"--dir=BWD_D --mb=3 {THREE}", f"--dir=BWD_D --mb=3 {ONE}"]
    assert [(one.source, one.line) for one in found] == [("inner", 1), ("deeper", 1), ("list", 3)]


SKIPPED = [
    (
        f"--alg=wino {ONE} --alg=direct --stag=axb {TWO}",
        ["list:1: --alg=wino is skipped, and --alg wherever it comes",
         "list:1: --stag=axb is skipped, and --stag wherever it comes"],
    ),
    (
        f"--dt=u8:s8:u8 {ONE}\n{TWO}\n--dt=f32 {THREE}",
        ["list:1: --dt=u8:s8:u8 is not one of f64, f32, f16, bf16: 2 problems skipped"],
    ),
    (
        f"--dt=f32:bf16:f32 {ONE} --dt=f32 {TWO}",
        ["list:1: --dt=f32:bf16:f32 is not one of f64, f32, f16, bf16: 1 problem skipped"],
    ),
    (
        "export MIOPEN_LOG_LEVEL=5\nA=1\ncd /tmp\nconv -n 1",
        ["list:1: export MIOPEN_LOG_LEVEL=5 is skipped, and export wherever it comes",
         "list:2: A=1 is skipped, and A wherever it comes",
         "list:3: cd /tmp is skipped, and cd wherever it comes"],
    ),
    (
        "MIOpenDriver pool -n 1\nMIOpenDriver pool -n 2\n./MIOpenDriver bnormfp16 -n 3\nMIOpenDriver conv -n 1",
        ["list:1: MIOpenDriver pool -n 1 is skipped, and MIOpenDriver pool wherever it comes",
         "list:3: ./MIOpenDriver bnormfp16 -n 3 is skipped, and MIOpenDriver bnormfp16 wherever it comes"],
    ),
    (
        f"onednn_verbose,info,oneDNN v3\n{RAN}\n{RAN.replace('exec', 'create')}",
        ["list:1: 2 lines of a oneDNN log run no convolution, skipped"],
    ),
    (
        f"onednn_verbose,info,oneDNN v3\n{RAN}",
        ["list:1: 1 line of a oneDNN log run no convolution, skipped"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "messages"), SKIPPED, ids=[messages[0] for _, messages in SKIPPED])
def test_what_is_skipped_is_named_once(text, messages):
    found = read(text)
    assert told(found) == [(message, False) for message in messages]
    assert [one for one in found if isinstance(one, Listed)]


WRONG = [
    ("ic1oc1iw3", "list:1: a benchdnn descriptor with an axis w needs kw of 1 or more"),
    ("ic1oc1iw3kw5", "list:1: ow of this benchdnn descriptor would be -1: kernel and padding do not fit"),
    ("--mb=x", "list:1: --mb takes a whole number from 0 to 999999999, not 'x'"),
    ("--dir=UP", "list:1: --dir=UP is not one of FWD_B, FWD_D, FWD_I, BWD_D, BWD_W, BWD_WB, BWD_DW"),
    ("hello", "list:1: 'hello' is not a layer; write it as PyTorch does: Conv2d(3, 4, (2, 2))"),
    (
        "conv -n 1 -Q 2",
        "list:1: MIOpenDriver has no option '-Q'; its lines are conv -n 1 -c 3 -H 9 -W 9 -k 4 -y 3 -x 3",
    ),
    ("MIOpenDriver convint8 -n 1", "list:1: MIOpenDriver convint8 is not one of conv, convfp16, convbfp16"),
    ('{"kernel": 3}', "list:1: a layer in JSON has no 'kernel'; it knows layer, name, "),
    ("g3ic4oc6iw3kw2", "list:1: --groups 3 must divide both 4 input channels and 6 output channels"),
    ("--batch=list", "list:1: --batch=list is the list that it stands in"),
    ("--batch=ring", "ring:1: --batch=list is the list that it stands in"),
    ("--batch=gone", "list:1: gone: No such file or directory"),
    ("--batch=refused", "list:1: refused is no text"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_what_is_wrong_is_told_and_the_rest_is_read(text, message):
    def open_batch(name):
        if name == "refused":
            raise SourceError("refused is no text")
        if name != "ring":
            raise FileNotFoundError(2, "No such file or directory", name)
        return ["--batch=list"]

    found = list(read_problems([f"{text} # here" if text[0] != "{" else text, TWO], "list", open_batch))
    assert [(str(one)[: len(message)], one.wrong) for one in found[:-1]] == [(message, True)]
    assert found[-1].text == TWO


def test_lists_too_deep_are_refused():
    names = count(1)
    found = list(read_problems(["--batch=0"], "list", lambda _: [f"--batch={next(names)}", ONE]))
    assert told(found) == [(f"{DEEPEST - 1}:1: --batch={DEEPEST} lies more than {DEEPEST} lists deep", True)]
    assert sum(isinstance(one, Listed) for one in found) == DEEPEST


def test_a_list_may_be_endless():
    lines = (f"ic{n}oc1iw3kw2" for n in count(1))
    found = islice(read_problems(lines, "list", lambda _: []), 3)
    assert [one.spec.in_channels for one in found] == [1, 2, 3]


def test_what_is_asked_for_by_default_is_everything():
    (found,) = problems(read(ONE))
    assert (found.directions, found.dtype, found.spec.batch_size) == (DIRECTIONS, None, 2)


def test_what_a_list_holds_cannot_write_to_a_terminal():
    found = read("\x1b[31mred\x1b[0m\n--\x1b[2J=1 " + ONE)
    assert len(told(found)) == 2
    assert "\x1b" not in "".join(message for message, _ in told(found))


def test_a_name_in_quotes_may_have_spaces():
    found = list(read_problems(['ic1ih3oc1kh2n"one two"  ic1ih4oc1kh2n"three"'], "list", dict))
    assert [one.name for one in found] == ["one two", "three"]
    assert read_layer(found[0].text).name == "one two"


def test_what_has_no_name_is_called_by_what_tells_it_from_others():
    logged = "onednn_verbose,v1,primitive,exec,cpu,convolution,jit,backward_data,src:f32,,,mb2_ic4oc4_ih6oh6kh3ph1,0.1"
    lines = ["./bin/MIOpenDriver conv -n 2 -c 4 -H 3 -W 3 -k 2 -y 1 -x 1", logged, "Conv1d(2, 3, 2)"]
    names = ["conv -n 2 -c 4 -H 3 -W 3 -k 2 -y 1 -x 1", "backward_data mb2_ic4oc4_ih6oh6kh3ph1", "Conv1d(2, 3, 2)"]
    found = list(read_problems(lines, "list", dict))
    assert [one.name for one in found] == names
    assert [one.text for one in found] == lines
