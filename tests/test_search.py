"""What --search can say, and what it must not."""

import pytest

from tfcap.errors import InputError
from tfcap.search import Axis, quality_of, search_of
from tfcap.settings import Settings


def test_ranges_and_choices_have_the_types_of_their_flags():
    assert search_of(
        "learning_rate=1e-4..1e-2:log, dropout=0..0.5,units=128|256 ,batch_size=16..64:log", Settings()
    ) == [
        Axis("learning_rate", 1e-4, 1e-2, log=True),
        Axis("dropout", 0.0, 0.5),
        Axis("units", choices=(128, 256)),
        Axis("batch_size", 16, 64, log=True),
    ]
    assert search_of("attention=true|false", Settings()) == [Axis("attention", choices=(True, False))]
    assert isinstance(search_of("batch_size=16..64", Settings())[0].low, int)
    assert search_of("batch_size=16..64:16", Settings()) == [Axis("batch_size", 16, 64, step=16)]


def test_a_search_is_by_one_quality():
    base = Settings().replace(model="classifier")
    assert quality_of(search_of("width=16|32", base), base) == "accuracy"
    assert quality_of(search_of("model=git|clip_gpt2", Settings()), Settings()) == "CIDEr"
    with pytest.raises(InputError, match=r"not compared with each other. Received: model=git\|classifier"):
        search_of("model=git|classifier", Settings())


def test_an_axis_is_written_as_it_is_read():
    text = "learning_rate=0.0001..0.01:log,units=128|256,attention=true|false,batch_size=16..64:16"
    assert ",".join(map(str, search_of(text, Settings()))) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "--search is missing"),
        ("learning_rate", "cannot be read"),
        ("learning_rate=", "cannot be read"),
        ("learning_rate=1e-4", "two or more choices"),
        ("learning_rate=1e-4..1e-2:ln", "cannot be read"),
        ("learning_rate=1e-4..1e-3..1e-2", "cannot be read"),
        ("learning_rat=1e-4..1e-2", "names no flag of an experiment. Received: 'learning_rat'"),
        ("trials=1..2", "names no flag of an experiment"),
        ("learning_rate=low..high", "a value that --learning_rate cannot be.*Expected: numbers"),
        ("units=1.5|2", "a value that --units cannot be.*Expected: whole numbers"),
        ("attention=yes|no", "a value that --attention cannot be.*Expected: true or false"),
        ("learning_rate=1e-2..1e-4", "a range that is none"),
        ("dropout=nan..0.5", "a range that is none"),
        ("dropout=0..0.5:log", "no logarithm"),
        ("model=a..b", "two or more choices.*--model is no number"),
        ("attention=true..false", "a value that --attention cannot be.*Expected: true or false"),
        ("batch_size=16..64:0", "cannot be read"),
        ("batch_size=16..64:-8", "cannot be read"),
        ("batch_size=16..60:16", "a step past the range's end"),
        ("dropout=0..0.5:1", "cannot be read"),
        ("units=128|128", "two or more choices"),
        ("dropout=0..0.5,dropout=0..0.3", "names a flag twice"),
        ("dropout=0..2", "--dropout is out of range"),
        ("model=git|best", "Unknown captioner"),
        ("augment=crop|zoom", "Unknown --augment"),
        (
            "tie_embeddings=true|false,units=64|128",
            "an experiment that cannot be, .*--tie_embeddings needs word vectors",
        ),
        ("temperature=0..1", "cannot choose --temperature: validation"),
        ("beams=1..5", "cannot choose --beams: validation"),
        ("score_batch_size=16..64", "cannot choose --score_batch_size"),
        ("gradient_norm_fallback=error|instantiate", "cannot choose --gradient_norm_fallback"),
        ("seed=0..9", "cannot choose --seed: the best seed is luck"),
        ("fraction=0.1..1", "cannot choose --fraction"),
        ("budget_steps=true|false", "cannot choose --budget_steps: it decides how many steps"),
        ("dataset=scenes|flickr8k", "cannot choose --dataset: it decides the data"),
        ("scenes_seed=0..9", "cannot choose --scenes_seed: it decides the data"),
        ("limit=10|20", "cannot choose --limit: it decides the data"),
        ("coco_split=official|val2017", "cannot choose --coco_split: it decides the data"),
        ("validate_every=1..5", "cannot choose --validate_every"),
        ("xla=true|false", "cannot choose --xla: it changes no score"),
        ("tracker=wandb|mlflow", "cannot choose --tracker: it changes no score"),
    ],
)
def test_a_search_that_cannot_be_is_an_error_on_one_line(text, words):
    with pytest.raises(InputError, match=words) as caught:
        search_of(text, Settings())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "used"),
    [
        ({}, ""),
        ({"selector": "loss"}, "proxy,proxy_epochs,score_seeds,score_epochs,token_reduction,teacher"),
        ({"selector": "loss", "teacher": "runs/a"}, "token_reduction,teacher"),
        ({"selector": "loss", "fraction": 1.0}, ""),
        ({"selector": "stratified", "selection_score": "caption_consensus"}, "selection_score,strata,noise_cut"),
        ({"selector": "k_means", "dataset": "flickr8k"}, "clusters"),
        ({"selector": "k_means"}, "clusters,proxy,proxy_epochs,teacher"),
        ({"selector": "forgetting"}, "learnt_accuracy,proxy,proxy_epochs,teacher"),
        ({"selector": "mixed", "mixture": "random:1,k_means:1"}, "mixture,clusters,proxy,proxy_epochs,teacher"),
        (
            {"selector": "influence"},
            "targets,sketch_dimensions,sketch_type,token_reduction,proxy,proxy_epochs,teacher",
        ),
        (
            {"selector": "hardest", "selection_score": "clip_score", "dual_encoder": "folder"},
            "selection_score,dual_encoder",
        ),
    ],
)
def test_a_flag_of_selection_that_changes_nothing_is_refused(said, used):
    for name, values in _OF_SELECTION.items():
        if name in said:  # its choices would leave what the others go by
            continue
        base = Settings().replace(**said)
        if name in used.split(","):
            assert search_of(f"{name}={values}", base)
        else:
            with pytest.raises(InputError, match=f"--{name} would have no effect|A teacher is one captioner"):
                search_of(f"{name}={values}", base)


# Values of each flag of selection, as far as one can be searched.
_OF_SELECTION = {
    "selection_score": "el2n|caption_consensus",
    "noise_cut": "0.1..0.2",
    "strata": "10..50",
    "clusters": "5..10",
    "neighbours": "5..10",
    "mixture": "random:1|k_center:1",
    "proxy": "resnet50_lstm|git",
    "proxy_epochs": "1..5",
    "score_seeds": "1..2",
    "score_epochs": "1|2",
    "teacher": "runs/a|runs/b",
    "dual_encoder": "a|b",
    "token_reduction": "mean|sum",
    "targets": "5..10",
    "sketch_dimensions": "256|1024",
    "sketch_type": "float16|bits",
    "learnt_accuracy": "0.4..0.6",
}


def test_two_dots_in_a_text_are_no_range():
    (axis,) = search_of("teacher=../runs/a|../runs/b", Settings().replace(selector="loss"))
    assert axis.choices == ("../runs/a", "../runs/b")
