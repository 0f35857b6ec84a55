"""What most people would run today: torchrun, DistributedDataParallel and a model of transformers, on random tokens.

    torchrun --nproc-per-node 2 ddp.py --model DIR --precision autocast --steps 12 --report OUT.json

One step is: forward, backward with the all-reduce overlapping it, clipping of the global norm, fused AdamW, zeroing the
gradients. Rank 0 writes a JSON object with the wall clock at which the first step could begin, the duration of every
step and the largest resident memory of every rank. Every rank gets the same number of tokens, none of them padding.
"""

import argparse
import json
import os
import resource
import time
from dataclasses import dataclass

import torch
import torch.distributed as dist
import transformers
from torch.nn.parallel import DistributedDataParallel
from transformers import AutoModelForCausalLM

MIB = 2**20


@dataclass
class Work:
    """What is to be measured."""

    model: str
    precision: str
    sequence_length: int
    micro_batch: int
    steps: int
    threads: int
    report: str


def parse_arguments() -> Work:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", required=True, help="Hugging Face directory")
    parser.add_argument(
        "--precision",
        choices=["fp32", "autocast", "bf16"],
        required=True,
        help="autocast: fp32 weights, bf16 matrix products; bf16: everything in bf16, also weights and optimizer state",
    )
    parser.add_argument("--sequence-length", type=int, default=512)
    parser.add_argument("--micro-batch", type=int, default=2)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of each rank")
    parser.add_argument("--report", required=True, help="where rank 0 writes its JSON object")
    return Work(**vars(parser.parse_args()))


def device_of_this_rank(threads: int) -> torch.device:
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
        return device
    torch.set_num_threads(threads)
    return torch.device("cpu")


def wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def load_model(work: Work, device: torch.device) -> torch.nn.Module:
    weights = torch.bfloat16 if work.precision == "bf16" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(work.model, dtype=weights)
    return model.to(device).train()


def measure(work: Work, device: torch.device) -> dict:
    model = load_model(work, device)
    replica = DistributedDataParallel(model, gradient_as_bucket_view=True)
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-5, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    random = torch.Generator().manual_seed(dist.get_rank())
    shape = (work.micro_batch, work.sequence_length)
    ready_unix_ms = int(time.time() * 1000)
    seconds, loss = [], None
    for _ in range(work.steps):
        tokens = torch.randint(model.config.vocab_size, shape, generator=random).to(device)
        wait_for(device)
        begun = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=work.precision == "autocast"):
            loss = replica(input_ids=tokens, labels=tokens, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        wait_for(device)
        seconds.append(time.perf_counter() - begun)
    return {
        "ready_unix_ms": ready_unix_ms,
        "step_seconds": seconds,
        "loss": loss.item(),
        "parameters": sum(parameter.numel() for parameter in parameters),
    }


def peak_memory_of_every_rank(device: torch.device) -> dict:
    mine = {
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MIB,
        "peak_cuda_mib": torch.cuda.max_memory_allocated(device) / MIB if device.type == "cuda" else 0.0,
    }
    everyone = [None] * dist.get_world_size()
    dist.all_gather_object(everyone, mine)
    return {key: [round(one[key], 1) for one in everyone] for key in mine}


def main() -> None:
    work = parse_arguments()
    device = device_of_this_rank(work.threads)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    result = measure(work, device) | peak_memory_of_every_rank(device)
    result["versions"] = {"torch": torch.__version__, "transformers": transformers.__version__}
    if dist.get_rank() == 0:
        with open(work.report, "w", encoding="utf-8") as report:
            json.dump(result, report)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
