"""Makes the small set that ships inside the program from real pairs and recorded verdicts.

Run by a developer:  python scripts/make_demo_set.py DATA crates/omnireward/demo
Needs: pip install pillow==13.0.0 av==18.1.0 soundfile==0.14.0
DATA is the folder of real test data (see CONTRIBUTING.md). Media are made smaller, nothing else
about them is changed; labels and verdicts are copied as their authors published them.
"""

import csv
import json
import shutil
import sys
from pathlib import Path

import av
import soundfile
from PIL import Image

data, out = Path(sys.argv[1]), Path(sys.argv[2])
shutil.rmtree(out / "media", ignore_errors=True)
(out / "media").mkdir(parents=True)
pairs, recorded = [], []
PREFERENCE = {"1": "first", "2": "second", "a": "first", "b": "second", "A": "first", "B": "second", "tie": "tie", "same": "tie"}
SWAPPED = {"first": "second", "second": "first", "tie": "tie"}


def lines(path):
    return [json.loads(line) for line in (data / path).read_text().splitlines()]


def image(source, name):
    picture = Image.open(data / source).convert("RGB")
    picture.thumbnail((320, 320), Image.LANCZOS)
    picture.save(out / "media" / name, quality=80)
    return [{"type": "image", "path": f"media/{name}"}]


def audio(source, name):
    samples, rate = soundfile.read(data / source)
    soundfile.write(out / "media" / name, samples, rate, format="OGG", subtype="VORBIS", compression_level=0.7)
    return [{"type": "audio", "path": f"media/{name}"}]


def video(source, name):
    with av.open(str(data / source)) as old, av.open(str(out / "media" / name), "w") as new:
        stream = old.streams.video[0]
        to = new.add_stream("libx264", rate=stream.average_rate, options={"crf": "30", "preset": "slow", "profile": "main"})
        to.width, to.height, to.pix_fmt = 320, stream.height * 320 // stream.width // 2 * 2, "yuv420p"
        for frame in old.decode(stream):
            frame = frame.reformat(to.width, to.height, "yuv420p")
            frame.pts, frame.pict_type = None, 0
            new.mux(to.encode(frame))
        new.mux(to.encode(None))
    return [{"type": "video", "path": f"media/{name}"}]


# Text: a human label on which the answers' manner and merit disagree, and GPT-4's verdicts with
# reasons in both orders.
for subset in ["natural", "adversarial_neighbor", "adversarial_gptinst"]:
    items = json.loads((data / f"text/llmbar/{subset}.json").read_text())
    replies = {
        (reply["row"], reply["swapped"]): reply
        for reply in lines(f"judge_outputs/llmbar/{subset}.cot_completions.jsonl")
        if reply["evaluator"] == "GPT-4/CoT"
    }
    taken = 0
    for row, item in enumerate(items):
        if taken == 14 or (row, False) not in replies or len(json.dumps(item)) > 1500:
            continue
        taken += 1
        key = f"llmbar/{subset}/{row}"
        pairs.append({
            "id": key, "task": "T2T", "prompt": item["input"],
            "criterion": "Follows the instruction precisely, whatever its manner.",
            "responses": [item["output_1"], item["output_2"]],
            "label": PREFERENCE[str(item["label"])], "source": f"LLMBar {subset}",
        })
        for swapped in [False, True]:
            reply = replies[row, swapped]
            winner = PREFERENCE[str(reply["parsed_winner"])] if reply["parsed_winner"] in ("1", "2") else None
            entry = {"id": key, "order": "swapped" if swapped else "as-is", "rationale": reply["completion"]}
            # The published winner is in the dataset's order; a recording holds what was said of
            # the order shown.
            if winner:
                entry["preference"] = SWAPPED[winner] if swapped else winner
            recorded.append(entry)

# Images: one of two has a spoiled object; scores of a published reward model.
for item in lines("image/mjbench_objects/pairs.jsonl"):
    key = f"mjbench/{item['id']}"
    pairs.append({
        "id": key, "task": "T2I", "prompt": item["prompt"], "criterion": "Free of rendering artifacts.",
        "responses": [image(f"image/mjbench_objects/{item[side]}", item[side]) for side in ("image_a", "image_b")],
        "label": PREFERENCE[item["preferred"]], "source": "MJ-Bench objects",
    })
    recorded.append({"id": key, "scores": item["reward_model_scores_ab"]["hps_v2.1"]})

[item] = lines("image/ti2t_demo/pairs.jsonl")
pairs.append({
    "id": "cars", "task": "TI2T",
    "prompt": image("image/ti2t_demo/cars1.jpg", "cars1.jpg") + [{"type": "text", "text": item["prompt"]}],
    "criterion": None, "responses": [item["response_1"], item["response_2"]],
    "label": PREFERENCE[str(item["preferred"])], "source": "InternLM-XComposer-2.5-Reward",
})

# Video: one pair under three criteria, one of which turns the label round.
CRITERIA = {
    "VQ": "Visual quality: sharp, clean, well lit frames.",
    "MQ": "Motion quality: natural, smooth and complete movement.",
    "TA": "Text alignment: shows what the prompt describes.",
}
with open(data / "video/videoalign/pairs.csv", newline="") as file:
    [item] = csv.DictReader(file)
sides = [video(f"video/videoalign/{item[f'path_{side}']}", f"videoalign_{side}.mp4") for side in "AB"]
for name, criterion in CRITERIA.items():
    pairs.append({
        "id": f"videoalign/{name}", "task": "T2V", "prompt": item["prompt"], "criterion": criterion,
        "responses": sides, "label": PREFERENCE[item[name]], "source": "VideoAlign", "group": "videoalign",
    })

for item in lines("audio/speakbench/pairs.jsonl"):
    if item["id"] != "sb_0_1":
        pairs.append({
            "id": f"speakbench/{item['id']}", "task": "T2A", "prompt": item["instruction"], "criterion": None,
            "responses": [audio(f"audio/speakbench/{item[side]}", Path(item[side]).stem + ".ogg") for side in ("audio_a", "audio_b")],
            "models": [item["model_a"], item["model_b"]],
            "label": PREFERENCE[item["preferred"]], "source": "AudioJudge SpeakBench",
        })
for item in lines("audio/speed/pairs.jsonl"):
    pairs.append({
        "id": f"speed/{item['id']}", "task": "T2A", "prompt": "Read a sentence aloud.",
        "criterion": "The speaker talks faster.",
        "responses": [audio(f"audio/speed/{item[side]}", "speed_" + Path(item[side]).stem + ".ogg") for side in ("audio_a", "audio_b")],
        "label": PREFERENCE[item["preferred"]], "source": "AudioJudge speed",
    })

for name, rows in [("pairs.jsonl", pairs), ("recorded.jsonl", recorded)]:
    (out / name).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
