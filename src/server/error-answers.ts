/** One place where errors become answers: expected ones with their words, all others without any. */
import type { FastifyError, FastifyReply, FastifyRequest } from "fastify";
import type { ErrorAnswer } from "../api/schemas/server.ts";
import { AppError, type ErrorCode } from "../core/errors.ts";

interface Answer {
  readonly status: number;
  readonly body: ErrorAnswer;
}

/** `onError` is told of what was not expected; `shape` says it in another API's form. */
export function errorHandler(
  onError: (error: unknown, requestId: string) => void,
  shape: (answer: ErrorAnswer) => object = (answer) => answer,
) {
  return (error: FastifyError | Error, request: FastifyRequest, reply: FastifyReply): void => {
    const expected = expectedError(error);
    if (expected === undefined || expected.status >= 500) onError(error, request.id);
    const { status, body } = expected === undefined ? internal(request.id) : answerOf(expected);
    if (status === 401) reply.header("www-authenticate", "Bearer");
    // The rest of a body that was refused is not read: no other request can follow on the connection.
    if (status === 413) reply.header("connection", "close");
    reply.code(status).type("application/json; charset=utf-8").send(shape(body));
  };
}

export function answerOf(error: AppError): Answer {
  const { code, message, hint, details } = error;
  return {
    status: error.status,
    body: {
      error: {
        code,
        message,
        ...(hint !== undefined && { hint }),
        ...(details !== undefined && { details: { ...details } }),
      },
    },
  };
}

function internal(requestId: string): Answer {
  const error = {
    code: "internal" satisfies ErrorCode,
    message: `Something went wrong in dbt-server (request ${requestId}).`,
    hint: `Its log says what, under "${requestId}"`,
  };
  return { status: 500, body: { error } };
}

/** An AppError for everything whose cause lies in the request. */
function expectedError(error: FastifyError | Error): AppError | undefined {
  if (error instanceof AppError) return error;
  const { validation, statusCode, code } = error as Partial<FastifyError>;
  if (validation !== undefined)
    return new AppError("bad_request", shorten(`The request is not valid: ${error.message}.`));
  if (statusCode === undefined || statusCode < 400 || statusCode >= 500 || code?.startsWith("FST_") !== true)
    return undefined;
  if (statusCode === 413) return new AppError("too_large", "The body of the request is too large.");
  if (statusCode === 415) {
    return new AppError("bad_request", "The body is of a type that this route does not take.", {
      hint: "Send JSON as Content-Type: application/json",
    });
  }
  return new AppError("bad_request", shorten(error.message.replace(/\.?$/, ".")));
}

function shorten(text: string): string {
  return text.length > 500 ? `${text.slice(0, 500)}…` : text;
}
