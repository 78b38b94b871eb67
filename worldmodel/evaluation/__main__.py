"""The command line: python -m worldmodel.evaluation --checkpoint DIR --data DIR --out DIR [--quick] [--only NAMES]"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path

import torch

from conditions.values import nearest
from worldmodel.evaluation.options import FIGURES, QUICK, Options, sized
from worldmodel.evaluation.published.networks import FILES
from worldmodel.evaluation.run import evaluate


def main(argv: list[str] | None = None) -> int:
    """Runs the command line and returns the exit status: 0 when measured, whatever the figures; 1 for bad input."""
    arguments = _parser().parse_args(argv)
    begun = time.perf_counter()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    try:
        record = evaluate(
            arguments.checkpoint,
            arguments.data,
            arguments.out,
            sized(QUICK if arguments.quick else Options(), arguments.sizes),
            only=arguments.only,
            worlds=arguments.worlds,
            reader=arguments.reader,
            weights={name: path for name in FILES if (path := getattr(arguments, f"{name}_weights"))},
            device=arguments.device or ("cuda" if torch.cuda.is_available() else "cpu"),
            command="python -m worldmodel.evaluation " + shlex.join(sys.argv[1:] if argv is None else argv),
            quick=arguments.quick,
            report=lambda text: print(f"[{time.perf_counter() - begun:5.0f} s] {text}", flush=True),
        )
    except (FileNotFoundError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: the figures measured so far are in figures.json; go on with --only", file=sys.stderr)
        return 130
    marks = {True: "reached", False: "missed", None: "not measured"}
    print()
    for target in record["targets"]:
        print(f"{marks[target['reached']]:<13} {target['what']}: {target['measured']}, wanted {target['wanted']}")
    print(f"\n{arguments.out / 'report.html'}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m worldmodel.evaluation",
        description="Measures a checkpoint on clips of worlds that it was not trained on: "
        "reconstruction and prediction of any; control, drift and memory of worlds that are walked in; lip sync, pose, "
        "mood, turn-taking, identity and latency of talking heads. Writes figures.json, plots, contact sheets and "
        "report.html.",
        epilog="Record the clips with: python -m envs.record --clips 64 --frames 400 --seed 1000000 --out DATA; of "
        "heads with --world worldmodel/Avatar-v0, and a second folder with --world-kwargs languages=[fr-fr] for a "
        "language that was not trained on. Prediction at 300 frames needs clips of 316 frames or more.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--checkpoint", required=True, help="checkpoint folder, or its id on the hub")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of held-out clips, one or more")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--quick", action="store_true", help="a look in a minute: few starts, short streams")
    parser.add_argument(
        "--sizes",
        nargs="+",
        default=[],
        metavar="NAME=N",
        help="other sizes than the usual ones, such as head_streams=6 head_marks=10,60,240; "
        "worldmodel/evaluation/options.py has all of them",
    )
    parser.add_argument(
        "--only",
        type=_names,
        metavar="NAMES",
        help=f"figures to measure, separated by commas, of {','.join(FIGURES)}; by default those that suit the "
        "world; the others are kept from before",
    )
    parser.add_argument(
        "--worlds",
        default="envs",
        metavar="MODULE",
        help="Python module that registers the clips' rendered worlds, to drive them under the same scripts; "
        "'' does without",
    )
    parser.add_argument("--reader", type=Path, help="saved reader to use instead of training one")
    for name, what in FILES.items():
        parser.add_argument(f"--{name}-weights", type=Path, metavar="FILE", help=f"{what}, for the figure published")
    parser.add_argument("--device", help="where the model runs; the accelerator if there is one")
    parser.add_argument("--threads", type=int, default=0, help="threads of torch; 0 leaves it the choice")
    return parser


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in FIGURES:
            raise argparse.ArgumentTypeError(f"no figure is called {name!r}{nearest(name, FIGURES)}")
    if not names:
        raise argparse.ArgumentTypeError(f"names one or more of {','.join(FIGURES)}, got {text!r}")
    return tuple(name for name in FIGURES if name in names)


if __name__ == "__main__":
    sys.exit(main())
