"""What tests on a real cluster share: commands, runs of mesh and what is read of their reports."""
import argparse
import json
import subprocess
import time

LABEL = "app.kubernetes.io/managed-by=mesh"
# The program, its image's archive, and the tool that made the cluster; see `parse`.
ARGS = argparse.Namespace()


def parse(parser):
    parser.parse_intermixed_args(namespace=ARGS)
    if ARGS.cluster:
        command(ARGS.cluster, "load", ARGS.archive)


def command(*words, check=True, text_in=None, env=None):
    done = subprocess.run(words, input=text_in, capture_output=True, text=True, env=env)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(words)}: {done.returncode}: {done.stdout}{done.stderr}")
    return done


def kubectl(*words, **more):
    return command("kubectl", *words, **more).stdout


def items(*words):
    return json.loads(kubectl("get", *words, "-o", "json"))["items"]


def node(*words, check=True):
    return command(ARGS.cluster, "node", "exec", *words, check=check)


class Run:
    """A run that has ended: its exit code and its report, if it came to one."""

    def __init__(self, code, out, err):
        self.code, self.err = code, err
        try:
            self.report = json.loads(out)
        except ValueError:
            self.report = None

    def __str__(self):
        report = self.report or {}
        findings = [f"{json.dumps(finding['where'])} {finding['cause']} {finding['confidence']} x{finding['explains']}: "
                    f"{finding['summary']} | {' | '.join(finding['evidence'])}" for finding in report.get("findings", [])]
        absent = [f"{node['name']}/{plane}: {state.get('why')}" for node in report.get("nodes", [])
                  for plane, state in node["planes"].items() if state["state"] != "probed"]
        ill = [cell for cell in report.get("cells", []) if cell["state"] == "failed"][:3]
        lines = [f"exit {self.code} {report.get('verdict')} {json.dumps(report.get('coverage'))}", *findings,
                 *report.get("notes", []), *absent, *map(json.dumps, ill), self.err]
        return "\n".join(lines)

    def findings(self):
        return [(finding["cause"], finding["where"]["nodes"], finding["where"].get("plane"))
                for finding in self.report["findings"]]


def start(*flags, env=None, on=None):
    """Begins a run; `on` are the words of a command that runs it elsewhere."""
    return subprocess.Popen([*(on or []), ARGS.mesh, "run", "-o", "json", *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, env=env)


def end(process):
    out, err = process.communicate()
    return Run(process.returncode, out, err)


def start_until(said, *flags):
    """A run that has just logged this."""
    process = subprocess.Popen([ARGS.mesh, "-v", "run", "-o", "json", *flags], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if said in line:
            return process
    raise AssertionError(f"it ended before it said {said!r}: {end(process)}")


def mesh(*flags, env=None):
    run = end(start(*flags, env=env))
    nothing_is_left()
    return run


def expect(run, code, condition=True):
    assert run.code == code and condition, f"expected exit {code}: {run}"


def nothing_is_left():
    """Namespaces on their way out are the cluster's to remove."""
    kinds = "daemonsets,services,secrets,leases,pods"
    left = [f"{item['kind']} {item['metadata'].get('namespace')}/{item['metadata']['name']}"
            for item in items(kinds, "-A", "-l", LABEL) + items("namespaces", "-l", LABEL)
            if "deletionTimestamp" not in item["metadata"]]
    assert not left, f"left behind: {left}"


def when(condition, what, seconds=60):
    """Waits for a state of the cluster."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.2)


def node_names():
    return sorted(item["metadata"]["name"] for item in items("nodes"))


def agents_are_up(count):
    pods = items("pods", "-A", "-l", LABEL)
    up = [pod for pod in pods if pod["status"].get("phase") == "Running"]
    return len(up) >= count


class Rule:
    """An iptables rule on nodes, for as long as the block lasts."""

    def __init__(self, nodes, *rule):
        self.nodes, self.rule = nodes, rule

    def __enter__(self):
        for name in self.nodes:
            node(name, "iptables", "-I", *self.rule)

    def __exit__(self, *_):
        for name in self.nodes:
            node(name, "iptables", "-D", *self.rule)
