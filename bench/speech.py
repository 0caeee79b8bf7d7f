"""Whisper beside faster-whisper and whisper.cpp, a Piper voice beside ONNX Runtime, in turns on the same machine and files.

    python bench/speech.py MYNAH WHISPER_FOLDER SOUND VOICE.onnx [threads] [int8|f32|piper|FILE.bin ...]

WHISPER_FOLDER: weights of faster-whisper (model.bin), which both read. FILE.bin: the same for whisper.cpp (bench/whisper_ggml.py writes it). Needs
faster-whisper, onnxruntime, numpy, espeak-ng and, for whisper.cpp, pywhispercpp built from its sources, so that it has the machine's instructions. Prints wall
and processor seconds of one transcription of SOUND and of one sentence spoken, without loading, and their ratios (above 1: mynah is faster).
"""
import json
import os
import re
import resource
import subprocess
import sys
import time

sys.path.pop(0)  # bench/tokenizers.py is not the package of that name

import numpy  # noqa: E402
import onnxruntime  # noqa: E402
from faster_whisper import WhisperModel  # noqa: E402

MYNAH, FOLDER, SOUND, VOICE = sys.argv[1:5]
THREADS = int(sys.argv[5]) if len(sys.argv) > 5 else 2
PARTS = sys.argv[6:] or ["int8", "f32", "piper"]
REPEATS, ROUNDS = 3, 2
SENTENCE = "A mynah is the bird that learns to speak, and it speaks whenever somebody listens to it. "


def ran(*words):
    """Wall and processor seconds of a run of mynah, and what it prints."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    out = subprocess.run([MYNAH, *words], env=dict(os.environ, MYNAH_THREADS=str(THREADS), MYNAH_OFFLINE="1"), capture_output=True, check=True, text=True).stdout
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, out


def difference(one, more):
    """What each of REPEATS more costs."""
    a, b = one(), more()
    return (b[0] - a[0]) / REPEATS, (b[1] - a[1]) / REPEATS


def timed(call):
    call()
    before, start = time.process_time(), time.perf_counter()
    for _ in range(REPEATS):
        call()
    return (time.perf_counter() - start) / REPEATS, (time.process_time() - before) / REPEATS


def show(what, ours, theirs, peer):
    best = lambda rounds: [min(r[i] for r in rounds) for i in (0, 1)]
    (wall, cpu), (peer_wall, peer_cpu) = best(ours), best(theirs)
    print(f"{what}: mynah {wall:.3f} s ({cpu:.3f} CPU), {peer} {peer_wall:.3f} s ({peer_cpu:.3f}); ratios {peer_wall / wall:.2f}, {peer_cpu / cpu:.2f}", flush=True)


def whisper():
    for dtype, compute in (("int8", "int8"), ("f32", "float32")):
        if dtype not in PARTS:
            continue
        peer = WhisperModel(FOLDER, device="cpu", compute_type=compute, cpu_threads=THREADS)
        for beams in (1, 5):
            options = ["--language", "en", "--num-beams", str(beams), "--dtype", dtype]
            texts, ours, theirs = [], [], []

            def theirs_once():
                texts.append("".join(s.text for s in peer.transcribe(SOUND, beam_size=beams, language="en")[0]).strip())

            for _ in range(ROUNDS):
                ours.append(difference(lambda: ran("transcribe", FOLDER, SOUND, *options), lambda: ran("transcribe", FOLDER, *[SOUND] * (REPEATS + 1), *options)))
                theirs.append(timed(theirs_once))
            show(f"Whisper {dtype}, {beams} beam{'s' * (beams > 1)}", ours, theirs, "faster-whisper")
            said = ran("transcribe", FOLDER, SOUND, *options)[2].strip()
            if said != texts[0]:
                print(f"  other words: {said!r}, faster-whisper {texts[0]!r}")


def whisper_cpp(path):
    """whisper.cpp as it ships: 16-bit weights, its own choices of everything but language and beams."""
    from pywhispercpp.model import Model
    for beams in (1, 5):
        peer = Model(path, params_sampling_strategy=int(beams > 1), n_threads=THREADS, language="en", print_progress=False, print_realtime=False, no_context=True,
                     **({"beam_search": {"beam_size": beams, "patience": -1.0}} if beams > 1 else {}))
        texts, theirs = [], []

        def theirs_once():
            texts.append(" ".join(s.text.strip() for s in peer.transcribe(SOUND)))

        for _ in range(ROUNDS):
            theirs.append(timed(theirs_once))
        for dtype in ("int8", "bf16", "f32"):
            options = ["--language", "en", "--num-beams", str(beams), "--dtype", dtype]
            ours = [difference(lambda: ran("transcribe", FOLDER, SOUND, *options), lambda: ran("transcribe", FOLDER, *[SOUND] * (REPEATS + 1), *options)) for _ in range(ROUNDS)]
            show(f"Whisper {dtype}, {beams} beam{'s' * (beams > 1)}", ours, theirs, "whisper.cpp")
        print(f"  whisper.cpp says {texts[0]!r}")


def phoneme_ids():
    config = json.load(open(VOICE + ".json"))
    spoken = subprocess.run(["espeak-ng", "-q", "--ipa", "-v", config["espeak"]["voice"], SENTENCE], capture_output=True, check=True, text=True).stdout
    ids = config["phoneme_id_map"]
    out = list(ids["^"])
    for symbol in re.sub(r"\s+", " ", spoken.strip()) + ".":
        out += ids["_"] + ids.get(symbol, [])
    return config, out + ids["_"] + ids["$"]


def piper():
    config, ids = phoneme_ids()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(VOICE, options, providers=["CPUExecutionProvider"])
    inputs = dict(input=numpy.array([ids]), input_lengths=numpy.array([len(ids)]), scales=numpy.array([0, 1, 0], numpy.float32))
    speak = ["speak", VOICE, "--noise-scale", "0", "--noise-scale-duration", "0", "-o", "/dev/shm/speech_bench.wav", "--json"]
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(difference(lambda: ran(*speak, SENTENCE), lambda: ran(*speak, SENTENCE * (REPEATS + 1))))
        theirs.append(timed(lambda: session.run(None, inputs)))
    seconds = session.run(None, inputs)[0].size / config["audio"]["sample_rate"]
    show(f"Piper, a sentence of {seconds:.1f} s", ours, theirs, "ONNX Runtime")
    print("  mynah says: " + ran(*speak, SENTENCE)[2].strip())


whisper()
for part in PARTS:
    if part.endswith(".bin"):
        whisper_cpp(part)
if "piper" in PARTS:
    piper()
