"""BatchScheduling-v0: episodes equal a slow model, and its two forms equal each other."""

from __future__ import annotations

import random
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from infra_gym.agents import make_agent
from infra_gym.environments.batch import BatchSchedulingEnv, BatchSchedulingVectorEnv
from infra_gym.errors import (
    ActionError,
    EpisodeOverError,
    NotReadyError,
    SettingsError,
    UsageError,
)
from infra_gym.simulators.batch import Policy, play, simulate
from infra_gym.workloads.batch import episode_jobs
from infra_gym.workloads.generated import SHIPPED_TRACE, generated_trace, swf_text
from infra_gym.workloads.swf import read_swf

# One worker compiles, once, what all of these need.
pytestmark = pytest.mark.xdist_group("batch")

TRACES = Path(__file__).parents[4] / "shared" / "data" / "swf"


@pytest.fixture(scope="module")
def busy(tmp_path_factory):
    """A trace whose queue grows long, on nodes of two processors, with fields missing."""
    made = generated_trace(600, processors=64, load=2.0, seed=8)
    made.headers["MaxNodes"] = "32"
    made.records[:, 1] = np.floor(made.records[:, 1] / 300) * 300
    made.records[::7, 8] = -1
    made.records[5, 3] = -1
    path = tmp_path_factory.mktemp("trace") / "busy.swf"
    path.write_text(swf_text(made))
    return path


class Model:
    """RLScheduler's episode, with lists and sorting."""

    def __init__(self, jobs, first, length, backfill, rows):
        self.jobs, self.backfill, self.rows = jobs, backfill, rows
        self.coming = list(range(first, first + length))
        self.all = list(self.coming)
        self.queue, self.running, self.starts = [], [], {}
        self.now, self.free = jobs.submit[first], jobs.total_nodes
        self.event()

    def end(self, job):
        return self.starts[job] + self.jobs.run[job]

    def event(self):
        next_end = min((self.end(job) for job in self.running), default=float("inf"))
        if self.coming and self.jobs.submit[self.coming[0]] <= next_end:
            job = self.coming.pop(0)
            self.now = max(self.now, self.jobs.submit[job])
            self.queue.append(job)
        else:
            job = min(self.running, key=self.end)
            self.now = max(self.now, next_end)
            self.free += self.jobs.nodes[job]
            self.running.remove(job)

    def start(self, job):
        self.starts[job] = self.now
        self.free -= self.jobs.nodes[job]
        self.running.append(job)
        self.queue.remove(job)

    def visible(self):
        arrived = sorted(self.queue, key=lambda job: (self.jobs.submit[job], job))
        if len(arrived) <= self.rows:
            return arrived
        shortest = sorted(arrived, key=lambda job: self.jobs.requested[job])
        smallest = sorted(arrived, key=lambda job: self.jobs.nodes[job])
        chosen = []
        for pair in zip(shortest, smallest, strict=True):
            chosen += [job for job in dict.fromkeys(pair) if job not in chosen]
        return chosen[: self.rows]

    def step(self, row):
        shown = self.visible()
        if row >= len(shown):
            self.skip()
        else:
            self.take(shown[row])
        return not self.queue and not self.coming

    def skip(self):
        soon = [self.end(job) for job in self.running]
        soon += [self.jobs.submit[job] for job in self.coming[:1]]
        if soon and self.now + 360 < min(soon):
            self.now += 360
        elif soon:
            self.event()

    def take(self, job):
        needed = self.jobs.nodes[job]
        if needed > self.free:
            free, shadow = self.free, self.now
            asked = {each: self.starts[each] + self.jobs.requested[each] for each in self.running}
            for each in sorted(asked, key=asked.get):
                if free < needed:
                    free, shadow = free + self.jobs.nodes[each], asked[each]
            while needed > self.free:
                if self.backfill == "easy":
                    for each in sorted(self.queue, key=lambda one: (self.jobs.submit[one], one)):
                        ends = self.now + self.jobs.requested[each]
                        if self.jobs.nodes[each] <= self.free and ends < shadow:
                            self.start(each)
                self.event()
        self.start(job)
        while not self.queue and self.coming:
            self.event()

    def observation(self):
        table = np.tile(np.array([0, 1, 1, 1, 1, 1, 1, 0], dtype=np.float32), (self.rows, 1))
        jobs, top = self.jobs, 1 - 1e-5
        for row, job in enumerate(self.visible()):
            table[row] = [
                min((self.now - jobs.submit[job]) / 43200, top),
                min(jobs.requested[job] / jobs.longest_run, top),
                min(jobs.processors[job] / jobs.total_processors, top),
                *jobs.traits[job],
                top if jobs.nodes[job] <= self.free else 1e-5,
            ]
        return table

    def mean_bounded_slowdown(self):
        total = 0.0
        for job in self.all:
            run = self.jobs.run[job]
            wait = self.starts[job] - self.jobs.submit[job]
            total += max(1.0, (wait + run) / max(run, 10))
        return total / len(self.all)


@pytest.mark.parametrize("rows", [8, 128])
@pytest.mark.parametrize("backfill", ["none", "easy"])
@pytest.mark.parametrize("which", ["first", "random", "random with skips"])
@pytest.mark.parametrize("start", [0, 37, 344])
def test_head_episodes_equal_the_model(busy, which, backfill, rows, start):
    env = BatchSchedulingEnv(
        trace=busy, decision="head", backfill=backfill, max_queue=rows, start=start
    )
    observation, info = env.reset()
    assert "1 job with a run time of 10 s, for field 4 has none." in info["notes"]
    model = Model(env.batch.jobs, start, 256, backfill, rows)
    rng, over = random.Random(start), False
    while not over:
        np.testing.assert_array_equal(observation, model.observation())
        assert info["action_mask"].tolist() == [1] * len(model.visible()) + [0] * (
            rows - len(model.visible())
        )
        action = 0 if which == "first" else rng.randrange(len(model.visible()))
        if "skips" in which and rng.random() < 0.2:
            action = rows - 1
        observation, reward, over, truncated, info = env.step(action)
        assert model.step(action) == over
        assert not truncated
        assert env.time_s == model.now
    assert info["start_s"].tolist() == [model.starts[job] for job in model.all]
    assert reward == pytest.approx(-model.mean_bounded_slowdown(), rel=1e-12)
    assert info["metrics"]["bounded_slowdown"] == pytest.approx(-reward, rel=1e-12)


@pytest.mark.parametrize("score", ["fcfs", "sjf", "wfp", "uni", "f1"])
@pytest.mark.parametrize("backfill", ["none", "easy"])
def test_baselines_are_agents_and_compiled_rules_alike(busy, score, backfill):
    env = BatchSchedulingEnv(
        trace=busy, decision="head", backfill=backfill, max_queue=256, start=11
    )
    info = played(env, make_agent("batch", score=score))
    jobs = episode_jobs(read_swf(busy))
    start = play(jobs, score, start=11, length=256, backfill=backfill)
    assert info["start_s"].tolist() == start.tolist()


def played(env, agent):
    observation, info = env.reset(seed=1)
    agent.reset(1, env)
    over = False
    while not over:
        observation, _, over, _, info = env.step(agent.act(observation, info))
    return info


@pytest.mark.parametrize(
    ("score", "backfill"),
    [
        ("fcfs", "none"),
        ("fcfs", "easy"),
        ("fcfs", "conservative"),
        ("sjf", "none"),
        ("wfp", "none"),
        ("-n", "none"),
    ],
)
def test_an_agent_that_names_the_best_in_the_queue_is_the_scheduler(score, backfill):
    """Backfill goes in order of arrival, so beyond `none` only first come first served compares."""
    env = BatchSchedulingEnv(jobs=300, start=0, backfill=backfill, max_queue=300)
    info = played(env, make_agent("batch", score=score))
    jobs = env.batch.jobs
    some = {
        name: value[:300] if isinstance(value, np.ndarray) else value
        for name, value in vars(jobs).items()
    }
    assert (
        info["start_s"].tolist()
        == simulate(type(jobs)(**some), Policy(score, backfill)).start.tolist()
    )


@pytest.mark.parametrize("backfill", ["none", "easy", "conservative"])
def test_a_row_without_a_job_in_the_queue_lets_time_go_on(backfill):
    env = BatchSchedulingEnv(jobs=40, start=100, backfill=backfill)
    env.reset()
    before = env.time_s
    waited = len(env.waiting)
    env.step(127)
    assert env.time_s > before
    assert len(env.waiting) >= waited
    rng, over = random.Random(1), False
    while not over:
        action = 127 if rng.random() < 0.3 else rng.randrange(int(env.action_masks().sum()))
        *_, over, _, info = env.step(action)
        assert 0 <= env.free_nodes <= env.batch.jobs.total_nodes
    assert np.isfinite(info["start_s"]).all()


@pytest.mark.parametrize("decision", ["head", "queue"])
@pytest.mark.parametrize("reward", ["slowdown", "turnaround", "utilisation", "wait"])
def test_other_rewards(decision, reward):
    env = BatchSchedulingEnv(jobs=60, start=3, decision=decision, reward=reward)
    env.reset()
    over = False
    while not over:
        _, got, over, _, info = env.step(0)
    jobs, some = env.batch.jobs, slice(3, 63)
    if reward == "utilisation":
        seconds = info["start_s"].max() - jobs.submit[3]
        wanted = jobs.run[some] @ jobs.processors[some] / (seconds * jobs.total_processors)
    else:
        wanted = -info["metrics"][reward if reward == "slowdown" else f"{reward}_s"]
    assert got == pytest.approx(wanted)


@pytest.mark.parametrize("decision", ["head", "queue"])
def test_gymnasium_agrees(decision):
    env = gym.make("BatchScheduling-v0", jobs=20, decision=decision)
    check_env(env.unwrapped, skip_render_check=True)
    assert env.get_wrapper_attr("action_masks")().dtype == np.bool_


def test_masks_are_what_gymnasium_samples_with():
    env = gym.make("BatchScheduling-v0", jobs=50)
    _, info = env.reset(seed=4)
    over = False
    while not over:
        action = env.action_space.sample(mask=info["action_mask"])
        assert env.get_wrapper_attr("action_masks")()[action]
        *_, over, _, info = env.step(action)


def test_seeds_decide_where_episodes_begin():
    env = BatchSchedulingEnv(jobs=20)
    firsts = []
    for seed in (1, 1, 2, None, None):
        env.reset(seed=seed)
        firsts.append(env.first)
    assert firsts[0] == firsts[1]
    assert len(set(firsts)) == 4
    env.reset(options={"start": 17})
    assert env.first == 17
    assert env.batch.jobs.submit[17] == env.time_s


@pytest.mark.parametrize("decision", ["head", "queue"])
@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_a_batch_is_so_many_single_ones(decision, count, mode):
    arguments = {"jobs": 25, "decision": decision, "backfill": "easy", "max_queue": 12}
    ours = gym.make_vec(
        "BatchScheduling-v0",
        num_envs=count,
        vectorization_mode="vector_entry_point",
        autoreset_mode=mode,
        info=True,
        **arguments,
    )
    theirs = gym.make_vec(
        "BatchScheduling-v0",
        num_envs=count,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": mode},
        **arguments,
    )
    seeds = [7, 3, 3, 11, 2][:count]
    observations, infos = ours.reset(seed=seeds)
    wanted, wanted_infos = theirs.reset(seed=seeds)
    rng = np.random.default_rng(1)
    for _ in range(90):
        np.testing.assert_array_equal(observations, wanted)
        np.testing.assert_array_equal(infos["action_mask"], wanted_infos["action_mask"])
        actions = rng.integers(0, 12, count)
        observations, *rest, infos = ours.step(actions)
        wanted, *wanted_rest, wanted_infos = theirs.step(actions)
        for one, other in zip(rest, wanted_rest, strict=True):
            np.testing.assert_array_equal(one, other)
        if mode == "SameStep" and rest[1].any():
            for place in np.flatnonzero(rest[1]):
                np.testing.assert_array_equal(
                    infos["final_obs"][place], wanted_infos["final_obs"][place]
                )
            one, other = infos["final_info"], wanted_infos["final_info"]
            np.testing.assert_array_equal(one["metrics"]["wait_s"], other["metrics"]["wait_s"])
        elif rest[1].any():
            one, other = infos["metrics"]["wait_s"], wanted_infos["metrics"]["wait_s"]
            np.testing.assert_array_equal(one, other)


def test_a_batch_without_autoreset():
    envs = BatchSchedulingVectorEnv(2, jobs=5, start=9, autoreset_mode="Disabled")
    with pytest.raises(NotReadyError):
        envs.step([0, 0])
    with pytest.raises(NotReadyError, match="all"):
        envs.reset(options={"reset_mask": np.array([True, False])})
    envs.reset(seed=1)
    over = np.zeros(2, dtype=np.bool_)
    while not over.all():
        observations, _, over, _, infos = envs.step([0, 0])
        assert infos == {}
    with pytest.raises(EpisodeOverError, match="reset_mask"):
        envs.step([0, 0])
    again, _ = envs.reset(options={"reset_mask": np.array([False, True])})
    np.testing.assert_array_equal(again[0], observations[0])
    assert (again[1] != observations[1]).any()
    assert envs.action_masks().sum(axis=1).tolist() == [0, 1]


@pytest.mark.parametrize(
    "actions", [[0], [0, 12], [0, -1], [0.0, 1.0], [[0, 0]], "no", [float("nan"), 0]]
)
def test_a_batch_refuses_what_are_no_rows(actions):
    envs = BatchSchedulingVectorEnv(2, jobs=5, max_queue=12)
    envs.reset(seed=1)
    with pytest.raises(ActionError):
        envs.step(actions)


@pytest.mark.parametrize("action", [-1, 128, 0.5, None, "0", float("nan"), [0]])
def test_what_is_no_row_is_refused(action):
    env = BatchSchedulingEnv(jobs=5)
    env.reset(seed=1)
    with pytest.raises(ActionError, match="0 to 127"):
        env.step(action)


def test_before_and_after_an_episode():
    env = BatchSchedulingEnv(jobs=1)
    with pytest.raises(NotReadyError):
        env.step(0)
    env.reset(seed=1)
    assert env.step(0)[2]
    with pytest.raises(EpisodeOverError):
        env.step(0)
    env.close()
    env.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"decision": "tail"}, "decision must be one of head, queue"),
        ({"reward": "fame"}, "reward must be one of"),
        ({"backfill": "lazy"}, "backfill must be one of none, easy, conservative"),
        ({"decision": "head", "backfill": "conservative"}, "must be one of none, easy, not"),
        ({"jobs": 0}, "jobs must be a whole number of at least 1"),
        ({"jobs": 5000}, "at most 1024"),
        ({"start": 769}, "start must be 0 to 768"),
        ({"start": 1.5}, "start must be a whole number"),
        ({"max_queue": 0}, "max_queue must be"),
        ({"reward": "utilization"}, "Did you mean 'utilisation'"),
    ],
)
def test_arguments_that_cannot_be(arguments, message):
    with pytest.raises(SettingsError, match=message):
        gym.make("BatchScheduling-v0", **arguments)


def test_there_are_no_pictures():
    with pytest.raises(SettingsError, match="leave render_mode out"):
        BatchSchedulingEnv(render_mode="human")


def test_a_reset_has_one_option():
    for env in (BatchSchedulingEnv(), BatchSchedulingVectorEnv(2)):
        with pytest.raises(SettingsError, match="no option 'begin'; there is 'start'"):
            env.reset(options={"begin": 3})


@pytest.mark.parametrize("score", ["FCFS", "SJF", "WFP3", "UNI", "F1"])
def test_baselines_go_by_their_names_in_papers(score):
    make_agent("batch", score=score)


def test_a_trace_that_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        gym.make("BatchScheduling-v0", trace=tmp_path / "none.swf")


def test_the_agent_knows_its_environment():
    with pytest.raises(UsageError, match="BatchScheduling-v0 only"):
        make_agent("batch").reset(1, gym.make("CartPole-v1"))


def test_the_shipped_trace_is_the_default():
    assert BatchSchedulingEnv().batch.jobs.name == str(SHIPPED_TRACE)


@pytest.mark.skipif(not TRACES.is_dir(), reason="../shared/data/swf is not beside the checkout")
@pytest.mark.parametrize("name", ["lublin_256", "HPC2N-2002-2.2-cln"])
@pytest.mark.parametrize("backfill", ["none", "easy"])
def test_head_episodes_of_real_traces(name, backfill):
    path = TRACES / f"{name}.swf.gz"
    env = BatchSchedulingEnv(trace=path, decision="head", backfill=backfill, start=5000)
    env.reset()
    model = Model(env.batch.jobs, 5000, 256, backfill, 128)
    rng, over = random.Random(1), False
    while not over:
        action = rng.randrange(int(env.action_masks().sum()))
        observation, _, over, _, info = env.step(action)
        model.step(action)
        np.testing.assert_array_equal(observation, model.observation())
    assert info["start_s"].tolist() == [model.starts[job] for job in model.all]
