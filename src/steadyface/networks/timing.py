"""How long networks take for one frame, with torch."""

import time

import numpy as np
import torch

from .catalogue import catalogue


def cpu_ms(network, inputs, enough_s=0.5, least=3):
    """Median milliseconds of processor time of a network on one thread, outside training.

    network: module on the CPU; inputs: its tensors; it is run until so much time is spent, and so often at
    least, after one run that does not count. Processor time, so that other work on the machine is left out.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            network.eval()(*inputs)
            return _median_ms(lambda: network(*inputs), time.thread_time, enough_s, least)
    finally:
        torch.set_num_threads(threads)


def gpu_ms(network, inputs, enough_s=0.5, least=10):
    """Median milliseconds of a network on the GPU, None where there is none; arguments as of `cpu_ms`."""
    if not torch.cuda.is_available():
        return None
    network, inputs = network.cuda().eval(), [x.cuda() for x in inputs]

    def run():
        network(*inputs)
        torch.cuda.synchronize()

    with torch.inference_mode():
        for _ in range(3):
            run()
        return _median_ms(run, time.perf_counter, enough_s, least)


def _median_ms(run, clock, enough_s, least):
    spent = []
    while len(spent) < least or sum(spent) < enough_s:
        start = clock()
        run()
        spent.append(clock() - start)
        # Those of microseconds are clear long before.
        if len(spent) >= 1000:
            break
    return 1e3 * float(np.median(spent))


def time_network(index, reference, networks=None):
    """Milliseconds of a network of the catalogue with torch: on the CPU, on the GPU or None, and its times
    that of the reference network on the CPU.

    index, reference: places in the catalogue, or in networks, list of `Network`. The reference runs just
    before and after, so that the ratio depends on the machine's mood less than either time does.
    """
    networks = catalogue() if networks is None else networks
    before = _cpu_ms_of(networks[reference])
    network, inputs = networks[index].build(), networks[index].inputs()
    own = cpu_ms(network, inputs)
    after = _cpu_ms_of(networks[reference])
    return own, gpu_ms(network, inputs), own / (0.5 * (before + after))


def _cpu_ms_of(entry):
    return cpu_ms(entry.build(), entry.inputs(), enough_s=0.2)
