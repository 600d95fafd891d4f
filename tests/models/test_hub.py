"""Captioners of KerasHub write what their whole model, run without a cache, finds likeliest; mistakes are one line."""

import json
import shutil

import keras_hub
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import save_file

import flags
from tests.models.toy_hub import MADE, sentences, write_preset
from tfcap import registry
from tfcap.errors import InputError
from tfcap.models.hub_presets import load_task
from tfcap.settings import Settings

BATCH, TOKENS = 4, 7
COLOURS = {(16, 16): (0, 0, 0), (40, 23): (255, 255, 255), (9, 30): (255, 0, 0), (64, 64): (0, 90, 255)}
PICTURES = [np.full([*size, 3], colour, np.uint8) for size, colour in COLOURS.items()]
POSITIONS = np.arange(4)

every = pytest.mark.parametrize("name", MADE)


@pytest.fixture(scope="module")
def presets(tmp_path_factory):
    """Returns the preset of a name, written once."""
    written = {}

    def preset(name):
        if name not in written:
            written[name] = write_preset(tmp_path_factory.mktemp("presets") / name, name)
        return written[name]

    return preset


def _captioner(preset, name, prompt="", **changes):
    said = {"eval_batch_size": BATCH, "max_tokens": TOKENS, "beams": 1, "xla": False, **changes}
    return registry.DIRECT[name](str(preset), prompt, "float32", Settings().replace(**said))


def _likeliest(captioner, picture):
    """The greedy caption by the functional model over the whole text, anew for each word; and its last logits."""
    model, marks = captioner.model, captioner.marks()
    given = {name: value[:1].copy() for name, value in captioner._inputs.items()}
    converted = np.asarray(model.preprocessor.image_converter(picture))
    given["images"] = converted.reshape(given["images"].shape)
    first, last = captioner._length, given["token_ids"].shape[1]
    for t in range(first, last):
        logits = np.array(model({name: given[name] for name in model.input}))[0, t - 1]
        logits[list(marks.never)] = -1e9
        if logits.argmax() == marks.end:
            break
        given["token_ids"][0, t] = logits.argmax()
        given["padding_mask"][0, t] = True
        if "response_mask" in given:
            given["response_mask"][0, t] = True
    (text,) = captioner.texts(given["token_ids"][:, first:], given["padding_mask"][:, first:].astype(bool))
    assert "<" not in text
    return text, logits


@every
def test_greedy_captions_are_those_of_the_whole_model(presets, name):
    captioner = _captioner(presets(name), name)
    found = captioner.captions(PICTURES, POSITIONS)
    texts, logits = zip(*(_likeliest(captioner, picture) for picture in PICTURES), strict=True)
    assert found == list(texts)
    assert np.ptp(np.stack(logits), axis=0).max() > 1e-4  # the picture matters; float32 leaves 1e-6
    assert captioner.captions(PICTURES[:1], POSITIONS[:1]) == found[:1]


def test_beams_and_draws_are_those_of_the_decoding_core(presets):
    greedy = _captioner(presets("gemma3"), "gemma3").captions(PICTURES, POSITIONS)
    assert _captioner(presets("gemma3"), "gemma3", beams=4, xla=True).captions(PICTURES, POSITIONS) != greedy
    drawing = _captioner(presets("gemma3"), "gemma3", temperature=1.5)
    drawn = drawing.captions(PICTURES, POSITIONS)
    assert drawn != greedy
    assert drawing.captions(PICTURES[2:], POSITIONS[2:]) == drawn[2:]
    assert drawing.captions(PICTURES, POSITIONS + 9) != drawn


def test_prompts_have_the_form_that_the_models_were_trained_with(presets):
    gemma = _captioner(presets("gemma3"), "gemma3", "Name a dog ")
    assert gemma.prompt == ("<start_of_turn>user\n<start_of_image>Name a dog<end_of_turn>\n<start_of_turn>model\n")
    tokenizer = gemma.model.preprocessor.tokenizer
    assert gemma.marks().end == tokenizer.token_to_id("<end_of_turn>")
    assert gemma.marks().never == (tokenizer.end_token_id,)
    plain = _captioner(presets("gemma3"), "gemma3", "<start_of_image> in this photo")
    assert plain.prompt == "<start_of_image> in this photo" and plain.marks().end == tokenizer.end_token_id
    assert _captioner(presets("pali_gemma"), "pali_gemma").prompt == "caption en\n"
    assert _captioner(presets("blip2"), "blip2").prompt == "a photo of"
    assert _captioner(presets("blip2"), "blip2", " ").prompt == ""


# In the form of Hugging Face.


class _Prepared:
    """Stands for PaliGemma's task: its model is the preprocessor that it is given."""

    backbone_cls, preprocessor_cls = keras_hub.models.PaliGemmaBackbone, keras_hub.models.PaliGemmaCausalLMPreprocessor

    @staticmethod
    def from_preset(preset, dtype, preprocessor):
        return preprocessor


def _pali_gemma(folder, **text):
    said = {"model_type": "paligemma", "vision_config": {"patch_size": 14}, "text_config": text}
    (folder / "config.json").write_text(json.dumps(said))
    images = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "rescale_factor": 1 / 255, "resample": 3}
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": images}))
    (folder / "tokenizer.model").write_bytes(sentences([]))
    save_file({"one": np.ones(1, np.float32)}, folder / "model.safetensors")
    return load_task(_Prepared, str(folder), "paligemma", "float32", reads_images=False)


@pytest.mark.parametrize("text", [{"model_type": "gemma"}, {}])
def test_a_pali_gemma_that_does_not_say_its_side_has_siglip_s(tmp_path, text):
    converted = _pali_gemma(tmp_path, **text).image_converter(PICTURES[1])
    np.testing.assert_allclose(converted, np.ones([224, 224, 3]), atol=1e-5)


def test_a_pali_gemma_2_is_refused(tmp_path):
    with pytest.raises(InputError, match="text_config.model_type='gemma2'. Expected: 'gemma'. Name KerasHub's own"):
        _pali_gemma(tmp_path, model_type="gemma2")


# Mistakes.


@pytest.mark.parametrize(
    "error", [MemoryError("full"), tf.errors.ResourceExhaustedError(None, None, "full"), ValueError("a\nb")]
)
def test_files_are_not_blamed_for_memory_and_otherwise_the_cause_is_kept(presets, monkeypatch, capsys, error):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr(_Prepared, "from_preset", fails)
    with pytest.raises((InputError, type(error))) as raised:
        load_task(_Prepared, str(presets("pali_gemma")), "paligemma", "float32", reads_images=False)
    if not isinstance(error, ValueError):
        assert raised.value is error
        return
    assert isinstance(raised.value, InputError) and raised.value.__cause__ is error

    def command():
        raise raised.value

    with pytest.raises(SystemExit, match="2"):
        flags.exit_after(command, "interrupted")
    assert capsys.readouterr().err.count("\n") == 1


def _no_weights(folder):
    (folder / "model.weights.h5").rename(folder / "model.pkl")


def _pickle_of_hugging_face(folder):
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "gemma3"}')
    (folder / "pytorch_model.bin").write_bytes(b"PK")


def _without_how_images_are_prepared(folder):
    (folder / "config.json").write_text('{"model_type": "gemma3"}')
    save_file({"one": np.ones(1, np.float32)}, folder / "model.safetensors")


def _cut(folder):
    path = folder / "model.weights.h5"
    path.write_bytes(path.read_bytes()[:100])


def _of_another_kind(folder):
    (folder / "config.json").write_text('{"model_type": "llama"}')


DAMAGE = {
    "no weights": (_no_weights, "has no weights as .weights.h5.*model.pkl"),
    "a pickle": (_pickle_of_hugging_face, "no weights as safetensors.*pytorch_model.bin"),
    "no preparation": (_without_how_images_are_prepared, "does not say how its images are prepared"),
    "weights cut": (_cut, "KerasHub cannot load Gemma3CausalLM from --checkpoint="),
    "another model": (_of_another_kind, "holds another model. Received: llama. Expected: Gemma3Backbone.*gemma3"),
    "no config": (lambda folder: (folder / "config.json").unlink(), "is no checkpoint.*config.json of Hugging Face"),
    "config of something else": (lambda folder: (folder / "config.json").write_text("[]"), "is no checkpoint"),
    "config cut": (lambda folder: (folder / "config.json").write_text("{"), "config.json is not valid JSON"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_an_error_of_one_line(presets, tmp_path, damage):
    folder = shutil.copytree(presets("gemma3"), tmp_path / "preset")
    DAMAGE[damage][0](folder)
    with pytest.raises(InputError, match=DAMAGE[damage][1]) as raised:
        _captioner(folder, "gemma3")
    assert "\n" not in str(raised.value)


def test_a_preset_of_another_model_and_one_of_text_alone_are_refused(presets, tmp_path):
    with pytest.raises(InputError, match="holds another model. Received: PaliGemmaBackbone"):
        _captioner(presets("pali_gemma"), "gemma3")
    with pytest.raises(InputError, match="is of text alone"):
        _captioner(write_preset(tmp_path / "text", "gemma3", sees=False), "gemma3")


def test_a_prompt_that_leaves_no_room_is_refused(presets):
    with pytest.raises(InputError, match="leaves no room for a caption. Received: [0-9]+ tokens, and --max_tokens=60"):
        _captioner(presets("gemma3"), "gemma3", max_tokens=60)


def test_a_prompt_with_two_places_for_pictures_is_refused(presets):
    with pytest.raises(InputError, match="must have one place for the picture.*Expected: <start_of_image> once, and 4"):
        _captioner(presets("gemma3"), "gemma3", "<start_of_image> and <start_of_image>")


def test_the_preset_is_not_changed_by_its_use(presets):
    said = json.loads((presets("gemma3") / "preprocessor.json").read_text())
    assert said["config"]["max_images_per_prompt"] == 2
