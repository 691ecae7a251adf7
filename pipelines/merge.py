r"""Merge an adapter into its base: one model folder that needs no PEFT, verified against the unmerged model.

    python pipelines/merge.py --adapter runs/my-instruct --output runs/my-instruct-merged

    python pipelines/merge.py --adapter A --adapter B --weight 0.7 --weight 0.3 --combination cat --output MERGED

Input: an adapter, such as a run folder of sft.py or dpo.py. Its base is the one that it names (--model_name_or_path if
that base is somewhere else; another base is rejected). An adapter trained on a 4-bit base is merged into the
full-precision base. Several adapters of one base are first combined by PEFT's add_weighted_adapter; cat is the exact
weighted sum. Output, in --output: safetensors files of at most --max_shard_size, config.json, the tokenizer with its
chat template, generation_config.json and merge.json. `transformers serve`, vLLM and AutoModelForCausalLM can open the
folder. --gguf FILE also converts it for llama.cpp (extra gguf), in weights of --gguf_type, and writes a Modelfile for
Ollama next to it; a tokenizer or model that llama.cpp cannot read is refused before the merge.

The whole model is in memory in float32 (4 bytes per parameter). Sums are computed in float32 and rounded once, to
--dtype. Then a new process that imports only transformers loads the result, and its logits and
greedy answers are compared with those of base and adapter, unmerged, in float32: on --prompts (a dataset folder's
--split or a file of rows), else on rows that the adapter's run held out, else on a few built-in ones. The mean KL may
be 1e-5 nats per token in float32, and in 16 bits four times what rounding the base's own weights costs on the same
rows, unless --max_kl says otherwise. If the outputs differ more, the program prints the figures, exits 1 and writes
nothing. A GGUF file is served by llama.cpp and compared with the merged folder as check_served.py does; if it differs,
the program exits 1 and leaves the folder without the file.
"""

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pipelines.command_line import ArgumentParser, not_negative, positive_number, run_program, share, size_of_files
from pipelines.merging.combination import Combination


def parser() -> argparse.ArgumentParser:
    """The program's flags."""
    flags = ArgumentParser(__doc__)
    flags.add_argument("--adapter", action="append", required=True, metavar="A", help="adapter; repeatable")
    flags.add_argument("--output", type=Path, required=True, metavar="DIR", help="new folder for the merged model")
    flags.add_argument("--model_name_or_path", metavar="M", help="the base (default: the one that the adapter names)")
    flags.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16", "float16"],
                       help="type of the written weights (default: the base's)")  # fmt: skip
    flags.add_argument(
        "--max_shard_size", type=size_of_files, default="5GB", help="largest safetensors file (default 5GB)"
    )
    flags.add_argument("--weight", action="append", type=float, metavar="W", help="weight of each adapter (default 1)")
    flags.add_argument("--combination", type=Combination, choices=list(Combination), default=Combination.CAT,
                       metavar="HOW", help=f"for several adapters: {', '.join(Combination)} (default cat)")  # fmt: skip
    flags.add_argument("--density", type=share, help="share of weights that ties, dare and magnitude_prune keep")
    flags.add_argument("--prompts", type=Path, metavar="F", help="held-out rows: dataset folder, or file of rows")
    flags.add_argument("--split", default="test", help="split of a dataset folder (default test)")
    flags.add_argument("--limit", type=positive_number, default=100, help="number of rows to compare (default 100)")
    flags.add_argument("--max_new_tokens", type=positive_number, default=64, help="limit of an answer (default 64)")
    flags.add_argument("--max_kl", type=not_negative, help="largest mean KL that passes, in nats per token")
    flags.add_argument("--gguf", type=Path, metavar="FILE", help="also write this GGUF file; needs the extra gguf")
    flags.add_argument("--gguf_type", default="auto", choices=["auto", "f32", "f16", "bf16", "q8_0"],
                       help="type of its weights (default: the merged folder's)")  # fmt: skip
    flags.add_argument("--seed", type=int, default=0, help="seed of the row sample and of dare (default 0)")
    return flags


def main(arguments: Sequence[str] | None = None) -> None:
    """Merge, prove, write merge.json, then move the folder into place."""
    flags = parser().parse_args(arguments)
    from pipelines.errors import UserError
    from pipelines.files import fresh_folder, refuse_existing, refuse_missing, refuse_unwritable, write_json_atomically
    from pipelines.hub.model_ref import base_of_adapter, model_fingerprint, refuse_unusable_adapter, resolve_model
    from pipelines.merging.engine_limits import refusal_lines

    refuse_existing(flags.output)
    refuse_unwritable(flags.output.parent)
    refuse_missing(prompts=flags.prompts)
    if flags.gguf:
        for taken in (flags.gguf, flags.gguf.with_suffix(".Modelfile")):
            refuse_existing(taken, "choose another --gguf")
        if flags.gguf.resolve() == flags.output.resolve():
            raise UserError(f"--gguf is {flags.gguf}, the folder of --output", "name a file, such as MODEL.gguf")
        refuse_unwritable(flags.gguf.parent)
    for adapter in flags.adapter:
        refuse_unusable_adapter(adapter)
    base = flags.model_name_or_path or base_of_adapter(flags.adapter[0])
    for adapter in flags.adapter:
        resolve_model(base, adapter)
    from pipelines.merging.adapter_mix import AdapterMix
    from pipelines.merging.gguf.writing import plan_gguf, write_and_prove
    from pipelines.merging.proof import ProofPlan, merge_and_prove
    from pipelines.records import describe_machine, git_commit, versions
    from pipelines.served.comparison import Plan

    weights = flags.weight if flags.weight is not None else [1.0] * len(flags.adapter)
    mix = AdapterMix(tuple(flags.adapter), tuple(weights), flags.combination, flags.density, flags.seed)
    gguf = plan_gguf(mix, base, flags.gguf, flags.gguf_type) if flags.gguf else None
    plan = ProofPlan(flags.prompts, flags.split, flags.limit, flags.max_new_tokens, flags.max_kl, flags.seed)
    with fresh_folder(flags.output) as folder:
        merged, proof = merge_and_prove(mix, base, folder, flags.dtype, flags.max_shard_size, plan)
        record = {
            "kind": "merge",
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "base": {"name_or_path": base, "fingerprint": model_fingerprint(base)},
            "adapters": [{"name_or_path": one, "fingerprint": model_fingerprint(one)} for one in mix.adapters],
            **mix.to_json(),
            **merged.record,
            "proof": proof.to_json(),
            "versions": versions(),
            "machine": describe_machine(),
            "git_commit": git_commit(),
        }
        write_json_atomically(folder / "merge.json", record)
    print(proof.line())
    print("\n".join([f"merged model written to {flags.output}", *refusal_lines(flags.output)]))
    if gguf is not None:
        served = Plan(flags.prompts, flags.split, min(flags.limit, 35), flags.max_new_tokens, flags.seed)
        for line in write_and_prove(gguf, flags.output, merged.record["dtype"], served):
            print(line)


if __name__ == "__main__":
    run_program(main)
