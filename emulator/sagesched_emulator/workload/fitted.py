"""Numbers of the tasks, fitted to answers of Llama-3.1-8B-Instruct; printed by `bench/workload_fit.py`."""

from __future__ import annotations

from sagesched_emulator.workload.lengths import TaskLengths

FITTED = {
    "question": TaskLengths(
        answer_tokens=(11, 21, 82, 372, 521, 657, 964),
        prompt_tokens=(39, 40, 42, 44, 47, 51, 54),
        spread=0.132,
        spread_p90=0.539,
    ),
    "explanation": TaskLengths(
        answer_tokens=(28, 55, 342, 511, 600, 809, 1089),
        prompt_tokens=(38, 40, 43, 46, 56, 1273, 2534),
        spread=0.111,
        spread_p90=0.251,
    ),
    "classification": TaskLengths(
        answer_tokens=(18, 21, 57, 95, 168, 599, 1055),
        prompt_tokens=(43, 46, 50, 58, 71, 616, 2534),
        spread=0.227,
        spread_p90=0.582,
    ),
    "extraction": TaskLengths(
        answer_tokens=(11, 13, 30, 89, 230, 538, 1014),
        prompt_tokens=(57, 71, 149, 257, 417, 1357, 2534),
        spread=0.155,
        spread_p90=0.39,
    ),
    "answer_from_text": TaskLengths(
        answer_tokens=(11, 14, 23, 49, 166, 477, 697),
        prompt_tokens=(102, 107, 148, 193, 258, 458, 731),
        spread=0.263,
        spread_p90=0.505,
    ),
    "summary": TaskLengths(
        answer_tokens=(15, 30, 82, 236, 412, 677, 1892),
        prompt_tokens=(44, 49, 136, 290, 734, 2090, 2534),
        spread=0.12,
        spread_p90=0.374,
    ),
    "ideas": TaskLengths(
        answer_tokens=(18, 103, 311, 450, 599, 1037, 1260),
        prompt_tokens=(40, 42, 45, 50, 74, 1570, 2383),
        spread=0.113,
        spread_p90=0.364,
    ),
    "story": TaskLengths(
        answer_tokens=(17, 39, 235, 401, 594, 786, 1051),
        prompt_tokens=(40, 42, 46, 56, 88, 660, 1088),
        spread=0.136,
        spread_p90=0.23,
    ),
    "rewriting": TaskLengths(
        answer_tokens=(7, 9, 24, 93, 171, 795, 990),
        prompt_tokens=(46, 49, 58, 60, 135, 856, 1352),
        spread=0.224,
        spread_p90=0.487,
    ),
    "email": TaskLengths(
        answer_tokens=(114, 144, 200, 339, 439, 853, 939),
        prompt_tokens=(44, 51, 56, 252, 1486, 2021, 2534),
        spread=0.14,
        spread_p90=0.246,
    ),
    "plan": TaskLengths(
        answer_tokens=(148, 299, 442, 668, 826, 1115, 1673),
        prompt_tokens=(41, 43, 80, 404, 1352, 2129, 2532),
        spread=0.115,
        spread_p90=0.213,
    ),
    "table": TaskLengths(
        answer_tokens=(18, 241, 527, 695, 872, 1228, 1892),
        prompt_tokens=(44, 53, 73, 235, 685, 1779, 2532),
        spread=0.165,
        spread_p90=0.333,
    ),
    "maths": TaskLengths(
        answer_tokens=(22, 42, 275, 458, 692, 1102, 1892),
        prompt_tokens=(45, 47, 69, 226, 1296, 2312, 2534),
        spread=0.164,
        spread_p90=0.353,
    ),
    "chat": TaskLengths(
        answer_tokens=(2, 45, 367, 549, 782, 1210, 1966),
        prompt_tokens=(36, 41, 49, 62, 168, 1560, 2534),
        spread=0.156,
        spread_p90=0.325,
    ),
    "function": TaskLengths(
        answer_tokens=(139, 224, 299, 361, 440, 560, 850),
        prompt_tokens=(88, 98, 109, 132, 174, 274, 2265),
        spread=0.174,
        spread_p90=0.313,
    ),
    "program": TaskLengths(
        answer_tokens=(279, 352, 439, 513, 591, 707, 929),
        prompt_tokens=(89, 107, 143, 165, 199, 309, 544),
        spread=0.099,
        spread_p90=0.148,
    ),
    "contest": TaskLengths(
        answer_tokens=(162, 290, 386, 444, 540, 779, 1652),
        prompt_tokens=(144, 214, 311, 454, 651, 1145, 2534),
        spread=0.189,
        spread_p90=0.345,
    ),
}
