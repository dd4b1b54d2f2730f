/** Milliseconds since the epoch. Handed in everywhere, so that a test can move time. */
export type Clock = () => number
