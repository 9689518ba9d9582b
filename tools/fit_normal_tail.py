#!/usr/bin/env python3
"""Finds the coefficients of Phi(-a) = exp(-a^2/2) Q(t), t = 1/(1 + p a), a >= 0, that the vector GELU in
kernels/vec/math.inc uses: Q(t) = t (q1 + q2 t + ... + q9 t^8), the form of Abramowitz & Stegun 7.1.26 with
more terms. The exact Q is erfcx(a / sqrt 2) / 2; the fit minimises the largest relative error over 0 <= a <= 15 (a
linear program over Chebyshev points). Prints the coefficients and the error of their f32 evaluation, in units of
2^-24.

usage: fit_normal_tail.py        needs numpy and scipy
"""
import numpy as np
from scipy.optimize import linprog
from scipy.special import erfcx

P, TERMS, END, POINTS = 0.35, 9, 15.0, 600


def fit():
    low = 1 / (1 + P * END)
    t = (1 + low) / 2 + (1 - low) / 2 * np.cos(np.linspace(0, np.pi, POINTS))
    exact = erfcx((1 / t - 1) / P / np.sqrt(2)) / 2
    rows = np.stack([t ** (i + 1) for i in range(TERMS)], 1) / exact[:, None]
    slack = -np.ones((POINTS, 1))
    ones = np.ones(POINTS)
    solved = linprog(np.r_[np.zeros(TERMS), 1],
                     A_ub=np.vstack([np.hstack([rows, slack]), np.hstack([-rows, slack])]),
                     b_ub=np.r_[ones, -ones], bounds=[(None, None)] * TERMS + [(0, None)], method="highs")
    return solved.x[:TERMS], solved.x[TERMS]


def f32_error(q):
    a = np.linspace(0, 12, 200001).astype(np.float32)
    t = np.float32(1) / (np.float32(1) + np.float32(P) * a)
    y = np.zeros_like(t)
    for c in q.astype(np.float32)[::-1]:
        y = y * t + c
    return np.abs(y * t / (erfcx(a.astype(float) / np.sqrt(2)) / 2) - 1).max() * 2.0 ** 24


if __name__ == "__main__":
    q, worst = fit()
    for i, c in enumerate(q, 1):
        print(f"q{i} = {np.float32(c):.9g}")
    print(f"minimax error {worst:.2g}, evaluated in f32 {f32_error(q):.1f} units of 2^-24")
