/* beta_quantile.c - see beta_quantile.h. */
#include "sampling/beta_quantile.h"

#include <float.h>
#include <math.h>

enum { TERMS = 300, SEARCH = 200 };

/* One step of Lentz's method for a continued fraction (Lentz 1976): never a division by 0. */
static double keep_off_zero(double v)
{
    return fabs(v) < DBL_MIN ? DBL_MIN : v;
}

/* The continued fraction of the incomplete beta function (Abramowitz & Stegun, 26.5.8); converges
 * fast for x < (a + 1)/(a + b + 2). */
static double fraction(double x, double a, double b)
{
    double c = 1, d = 1 / keep_off_zero(1 - (a + b) * x / (a + 1)), value = d;
    for (int m = 1; m < TERMS; m++) {
        const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 / keep_off_zero(1 + even * d);
        c = keep_off_zero(1 + even / c);
        value *= c * d;
        d = 1 / keep_off_zero(1 + odd * d);
        c = keep_off_zero(1 + odd / c);
        value *= c * d;
        if (fabs(c * d - 1) < DBL_EPSILON) break;
    }
    return value;
}

/* x^a (1 - x)^b / B(a, b) */
static double power(double x, double a, double b)
{
    return pow(x, a) * pow(1 - x, b) * (tgamma(a + b) / (tgamma(a) * tgamma(b)));
}

/* P(X <= x) */
static double probability(double x, double a, double b)
{
    if (x <= 0) return 0;
    if (x >= 1) return 1;
    if (x < (a + 1) / (a + b + 2)) return power(x, a, b) * fraction(x, a, b) / a;
    return 1 - power(x, a, b) * fraction(1 - x, b, a) / b;
}

/* Newton's method, halving the bracket wherever it would leave it. */
double sdg_beta_quantile(double p, double a, double b)
{
    double low = 0, high = 1, x = 0.5;
    if (p <= 0 || p >= 1) return p <= 0 ? 0 : 1;
    if (a == b && p == 0.5) return 0.5; /* by symmetry; a list may round right there */
    for (int i = 0; i < SEARCH; i++) {
        const double error = probability(x, a, b) - p;
        const double slope = power(x, a, b) / (x * (1 - x)); /* the density */
        if (error > 0)
            high = x;
        else
            low = x;
        double next = x - error / slope;
        if (!(next > low && next < high)) next = (low + high) / 2;
        if (fabs(next - x) <= DBL_EPSILON * x) return next;
        x = next;
    }
    return x;
}
