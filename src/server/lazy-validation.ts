/** Compiles a route's schemas when the route is first asked for: compiling all of them would double the server's start. */
import { AjvCompiler, type BuildCompilerFromPool } from "@fastify/ajv-compiler";

type Validate = ReturnType<ReturnType<BuildCompilerFromPool>>;

/** In place of fastify's own factory of validators. */
export function lazyValidators(): BuildCompilerFromPool {
  const build = AjvCompiler();
  return (externalSchemas, options) => {
    let compile: ReturnType<BuildCompilerFromPool> | undefined;
    return (route) => {
      let compiled: Validate | undefined;
      const validate: Validate = Object.assign(
        (data: unknown) => {
          compile ??= build(externalSchemas, options);
          compiled ??= compile(route);
          const isValid = compiled(data);
          // Where fastify looks for what was wrong.
          validate.errors = compiled.errors ?? null;
          return isValid;
        },
        { errors: null },
      ) as Validate;
      return validate;
    };
  };
}
