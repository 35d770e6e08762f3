/** Does one job at a time. What is asked for while it is done is collected, and done in one go afterwards. */
export class CollapsingQueue<Request> {
  readonly #job: (requests: readonly Request[]) => Promise<void>;
  #waiting: Request[] = [];
  #running: Promise<void> | undefined;

  constructor(job: (requests: readonly Request[]) => Promise<void>) {
    this.#job = job;
  }

  /** Resolves when the request has been part of a job that has ended. */
  async add(request: Request): Promise<void> {
    this.#waiting.push(request);
    const before = this.#running;
    if (before !== undefined) {
      await before.catch(() => undefined); // whoever asked for that one is told
    }
    // Of all that waited for the same job, the first one begins the next; the others find it under way.
    if (this.#waiting.includes(request)) {
      const requests = this.#waiting;
      this.#waiting = [];
      this.#running = this.#job(requests).finally(() => {
        this.#running = undefined;
      });
    }
    await this.#running;
  }
}
