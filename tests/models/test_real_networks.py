"""Real networks from end to end: trained weights from a package, and a whole ResNet-50."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from models import mtcnn
from shell import run

PLACE = Path(__file__).parent
PACKAGE = "facenet-pytorch==2.6.0"
INPUTS = {"PNet": (120, 90), "RNet": (24, 24), "ONet": (48, 48)}
LAYERS = {"PNet": 5, "RNet": 3, "ONet": 4}


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """The trained weights of MTCNN: the file of a package alone, never installed."""
    folder = tmp_path_factory.mktemp("weights")
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-cache-dir", "-d", str(folder), PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        said = f"no package index can be reached: {done.stderr.strip().splitlines()[-1]}"
        (pytest.fail if "CONVGRAD_CI" in os.environ else pytest.skip)(said)
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for name in INPUTS:
            archive.extract(f"facenet_pytorch/data/{name.lower()}.pt", folder)
    return folder / "facenet_pytorch" / "data"


@pytest.mark.parametrize("name", INPUTS)
def test_every_convolution_of_a_trained_network_is_right(name, weights, tmp_path):
    torch.save(mtcnn.photograph(*INPUTS[name]), tmp_path / "photo.pt")
    words = ("--weights", str(weights / f"{name.lower()}.pt"), "--input", str(tmp_path / "photo.pt"))
    document = run("model", f"{PLACE / 'mtcnn.py'}::{name}", *words, "-f", "json", "-q").json()
    assert document["counts"] == {"PASS": LAYERS[name]}
    for layer in document["layers"]:
        assert [verdict["tensor"] for verdict in layer["verdicts"]] == ["grad_weight", "grad_input", "grad_bias"]
        assert layer["bits"] > 15


def test_all_53_convolutions_of_a_resnet_50_are_right():
    target = f"{PLACE / 'networks.py'}::ResNet50"
    document = run("model", target, "--input-size", "1x3x224x224", "-f", "json", "-q").json()
    assert document["counts"] == {"PASS": 53}
    assert [v["tensor"] for layer in document["layers"] for v in layer["verdicts"]] == [
        "grad_weight",
        "grad_input",
    ] * 53
    assert (document["layers"][0]["name"], document["layers"][-1]["name"]) == ("stem", "blocks.15.conv3")
