// Medians, and ratios taken within a round before the median over rounds: drift of the machine cancels out.

export function median(values) {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  if (sorted.length === 0) return NaN;
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Median over rounds of above[i] / below[i]. */
export function ratio(above, below) {
  return median(above.map((value, round) => value / below[round]));
}
