import bentoml
import three


@bentoml.service
class Two:
    three = bentoml.depends(three.Three)
    ref = bentoml.models.BentoModel('scaler:v2')
