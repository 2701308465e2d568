/** The figures, in the order of the table. */
export const METRICS = {
  cpu_per_mtok_saturated: { title: 'processor s per million tokens, saturated', better: 'less' },
  cpu_per_mtok_burst8: { title: 'the same, eight frames a write', better: 'less' },
  cpu_per_mtok_saturated_200: { title: 'the same saturated, answers of 200 tokens', better: 'less' },
  cpu_per_mtok_burst8_200: { title: 'the same, eight frames a write', better: 'less' },
  cpu_per_mtok_paced_500: { title: 'the same, 500 streams of 300 tokens, 20 ms a token', better: 'less' },
  cpu_per_mtok_paced_2000: { title: 'the same, 2,000 streams', better: 'less' },
  cpu_per_mtok_slow_5000: { title: 'the same, 5,000 streams of 200 tokens, 500 ms a token', better: 'less' },
  mb_slow_5000: { title: 'MB the process takes meanwhile', better: 'less' },
  ttft_added_p50_ms: { title: 'added to the first token, p50, ms', better: 'less' },
  ttft_added_p99_ms: { title: 'added to the first token, p99, ms', better: 'less' },
  kb_per_stream_1000: { title: 'KB a running stream, of 1,000', better: 'less' },
  kb_per_stream_5000: { title: 'KB a running stream, of 5,000', better: 'less' },
  runs_per_second: { title: 'answers of one token a second', better: 'more' },
  sql_calls_per_run: { title: 'SQL calls a run', better: 'less' },
  startup_ms: { title: 'start to healthy, ms', better: 'less' },
  readers_10_over_1: { title: 'processor time, 10 readers a run over 1', better: 'less' },
  ws_over_sse: { title: 'processor time, WebSocket over SSE', better: 'less' }
} as const satisfies Record<string, { title: string, better: 'less' | 'more' }>

export type MetricName = keyof typeof METRICS

export const METRIC_NAMES = Object.keys(METRICS) as MetricName[]
