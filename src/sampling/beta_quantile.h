/* beta_quantile.h - quantiles of the beta distribution, from which the "beta" schedules are made
 * (Lee et al. 2024, "Beta sampling is all you need"). */
#ifndef SDG_SAMPLING_BETA_QUANTILE_H
#define SDG_SAMPLING_BETA_QUANTILE_H

/* The x with P(X <= x) = p for X of Beta(a, b), 0 <= p <= 1, a and b above 0; to 1e-15. */
double sdg_beta_quantile(double p, double a, double b);

#endif
