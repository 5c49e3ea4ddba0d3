"""Search the parameters of a gradient boosting regression with the ledger."""

import ledger

space = {
    "learning_rate": (0.01, 0.3, "log-uniform"),
    "max_depth": (1, 5),
    "min_samples_leaf": (1, 30),
    "subsample": (0.5, 1.0),
}
boosting = ledger.estimator(
    "sklearn.ensemble:GradientBoostingRegressor", space=space, params={"n_estimators": 60}, dataset="diabetes", cv=5
)
result = ledger.Study(boosting, name="boosting", trials=12, batch_size=4).run(workers=2)
print("best parameters", result.best_params)
print("r2", result.best_value)
