# service: service:Svc
# unknown: service
import bentoml
A = "iris"
B = A.capitalize()
PARTS = "left,right".split(",")
TABLE = dict(k="v")


@bentoml.service(name=A + "_" + B, description=" ".join([A, B]), labels={"p": "%s-%s" % (A, B), "f": "{}/{}".format(A, B), "n": "{a}".format(a=A), "s": B[1:], "l": PARTS[0], "d": TABLE["k"], "t": "x" * 3, "u": A.upper().replace("I", "1")})
class Svc:

    @bentoml.api
    def hello(self, name: str = "x") -> str:
        return name
